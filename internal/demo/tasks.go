package demo

import (
	"context"
	"errors"
	"math/big"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// The roles of scripts/demo.sql.
const (
	web     = "demo_web"
	billing = "demo_billing"
	desk    = "demo_desk"
	imports = "demo_import"
)

// tasks are what happens in the shop. A row is changed by one clerk at a time or in the order of its ids: no deadlocks.
var tasks = []task{
	{web, 12, 1, register},
	{web, 30, 5, buy},
	{web, 3, 0, abandon},
	{web, 4, 1, move},
	{web, 2, 1, leave},
	{billing, 27, 2, pay},
	{billing, 3, 2, refund},
	{desk, 24, 1, ship},
	{desk, 4, 1, reprice},
	{desk, 8, 1, note},
	{imports, 10, 1, restock},
	{imports, 1, shipment, deliver},
}

// open fills the shelves and brings the first customers.
func open(ctx context.Context, c *clerk) error {
	err := deliver(ctx, c)
	for range 8 {
		err = errors.Join(err, register(ctx, c))
	}
	return err
}

func (c *clerk) exec(ctx context.Context, sql string, arguments ...any) error {
	_, err := c.conn.Exec(ctx, sql, arguments...)
	return err
}

func register(ctx context.Context, c *clerk) error {
	return c.exec(ctx, "INSERT INTO customers (name, city) VALUES ($1, $2)", choose(firstNames)+" "+choose(lastNames), choose(cities))
}

// Some row or other, at a cost that does not grow with the table.
const (
	someCustomer = "id >= (SELECT ceil(random() * max(id)) FROM customers) ORDER BY id LIMIT 1"
	someProduct  = "id >= (SELECT ceil(random() * max(id)) FROM products) ORDER BY id LIMIT "
)

func move(ctx context.Context, c *clerk) error {
	return c.exec(ctx, "UPDATE customers SET city = $1 WHERE city <> $1 AND id = (SELECT id FROM customers WHERE "+someCustomer+")",
		choose(cities))
}

func leave(ctx context.Context, c *clerk) error {
	return c.exec(ctx, "DELETE FROM customers AS c WHERE NOT EXISTS (SELECT FROM orders WHERE customer_id = c.id) "+
		"AND id = (SELECT id FROM customers WHERE "+someCustomer+")")
}

func buy(ctx context.Context, c *clerk) error {
	return c.transaction(ctx, c.conn, func(tx pgx.Tx) (int, error) { return placeOrder(ctx, c, tx) })
}

// abandon leaves a full cart behind: everything is rolled back.
func abandon(ctx context.Context, c *clerk) error {
	return c.transaction(ctx, c.conn, func(tx pgx.Tx) (int, error) {
		rows, err := placeOrder(ctx, c, tx)
		if err == nil {
			err = errGaveUp
		}
		return rows, err
	})
}

// placeOrder orders up to three products. Those that are not in stock are rolled back to a savepoint, and if none is left, so
// is the order.
func placeOrder(ctx context.Context, c *clerk, tx pgx.Tx) (rows int, err error) {
	var id int
	if err := tx.QueryRow(ctx, "INSERT INTO orders (customer_id) SELECT id FROM customers WHERE "+someCustomer+" RETURNING id").
		Scan(&id); err != nil {
		return 0, err
	}
	rows = 1
	picked, err := tx.Query(ctx, "SELECT id FROM products WHERE "+someProduct+"$1", 1+rand.IntN(2))
	if err != nil {
		return rows, err
	}
	products, err := pgx.CollectRows(picked, pgx.RowTo[int])
	if err != nil {
		return rows, err
	}
	for _, product := range products {
		err := c.transaction(ctx, tx, func(part pgx.Tx) (int, error) {
			quantity := 1 + rand.IntN(3)
			if _, err := part.Exec(ctx, "INSERT INTO order_lines (order_id, product_id, quantity) VALUES ($1, $2, $3)",
				id, product, quantity); err != nil {
				return 0, err
			}
			_, err := part.Exec(ctx, "UPDATE products SET stock = stock - $1 WHERE id = $2", quantity, product)
			var refused *pgconn.PgError
			if errors.As(err, &refused) && refused.ConstraintName == "products_stock_check" {
				return 1, errGaveUp
			}
			rows += 2
			return 2, err
		})
		if err != nil {
			return rows, err
		}
	}
	if rows == 1 {
		return rows, errGaveUp
	}
	_, err = tx.Exec(ctx, `UPDATE orders SET total = (SELECT sum(quantity * price) FROM order_lines JOIN products ON products.id = product_id
		WHERE order_id = orders.id) WHERE id = $1`, id)
	return rows + 1, err
}

func pay(ctx context.Context, c *clerk) error {
	return c.exec(ctx, `WITH paid AS (
		UPDATE orders SET status = 'paid' WHERE id = (SELECT id FROM orders WHERE status = 'open' ORDER BY id LIMIT 1) RETURNING id, total)
		INSERT INTO payments (order_id, amount, method) SELECT id, total, $1 FROM paid`, choose(methods))
}

func refund(ctx context.Context, c *clerk) error {
	return c.exec(ctx, `WITH refunded AS (
		UPDATE orders SET status = 'refunded' WHERE id = (SELECT id FROM orders WHERE status = 'shipped' ORDER BY id DESC LIMIT 1)
		RETURNING id, total)
		INSERT INTO payments (order_id, amount, method) SELECT id, -total, 'refund' FROM refunded`)
}

func ship(ctx context.Context, c *clerk) error {
	return c.exec(ctx, "UPDATE orders SET status = 'shipped' WHERE id = (SELECT id FROM orders WHERE status = 'paid' ORDER BY id LIMIT 1)")
}

func reprice(ctx context.Context, c *clerk) error {
	return c.exec(ctx, "UPDATE products SET price = round(price * $1::numeric / 100, 2) WHERE id = (SELECT id FROM products WHERE "+someProduct+"1)",
		90+rand.IntN(25))
}

// note scribbles in the table of the seed.
func note(ctx context.Context, c *clerk) error {
	const oldest = "(SELECT min(id) FROM your_table)"
	switch rand.IntN(4) {
	case 0:
		return c.exec(ctx, "UPDATE your_table SET column_name = $1 WHERE id = "+oldest, choose(notes))
	case 1:
		return c.exec(ctx, "DELETE FROM your_table WHERE id = "+oldest)
	}
	return c.exec(ctx, "INSERT INTO your_table (column_name) VALUES ($1)", choose(notes))
}

func restock(ctx context.Context, c *clerk) error {
	return c.exec(ctx, "UPDATE products SET stock = stock + 12 WHERE id = (SELECT id FROM products ORDER BY stock, id LIMIT 1)")
}

// shipment is how many products one delivery brings.
const shipment = 20

// deliver brings new products in one COPY.
func deliver(ctx context.Context, c *clerk) error {
	_, err := c.conn.CopyFrom(ctx, pgx.Identifier{"products"}, []string{"name", "price", "stock"},
		pgx.CopyFromSlice(shipment, func(int) ([]any, error) {
			cents := pgtype.Numeric{Int: big.NewInt(195 + 50*rand.Int64N(100)), Exp: -2, Valid: true}
			return []any{choose(qualities) + " " + choose(goods), cents, 2 + rand.IntN(12)}, nil
		}))
	return err
}

func choose(from []string) string { return from[rand.IntN(len(from))] }

var (
	firstNames = []string{"Ada", "Amara", "Aylin", "Bruno", "Chidi", "Elif", "Emil", "Farah", "Greta", "Hana", "Ines", "Jonas", "José", "Kofi",
		"Leila", "Linh", "Łucja", "Mateo", "Mira", "Noor", "Omar", "Priya", "Rosa", "Søren", "Tariq", "Uma", "Viktor", "Wanda", "Yuki", "Zoë"}
	lastNames = []string{"Adeyemi", "Andersson", "Bianchi", "Costa", "Dupont", "Fischer", "García", "Haddad", "Ivanova", "Jansen", "Kaya",
		"Kowalski", "Lindqvist", "Mensah", "Moreau", "Nakamura", "Nguyen", "Novák", "O'Brien", "Okafor", "Patel", "Rossi", "Silva", "Weber"}
	cities = []string{"Accra", "Athens", "Bergen", "Dublin", "Ghent", "Graz", "Hanoi", "Kraków", "Lagos", "Leipzig", "Lisbon", "Lyon", "Malmö",
		"Porto", "Quito", "Riga", "Seville", "Turin", "Utrecht", "Zürich"}
	qualities = []string{"blue", "brass", "copper", "fine", "folding", "green", "heavy", "linen", "oak", "old", "paper", "plain", "red", "small",
		"tall", "tin", "walnut", "white", "wool"}
	goods = []string{"basket", "blanket", "bowl", "candle", "chair", "clock", "cushion", "desk", "jug", "kettle", "lamp", "mirror", "mug",
		"notebook", "pan", "shelf", "stool", "teapot", "tray", "vase"}
	methods = []string{"card", "card", "transfer", "invoice", "cash"}
	notes   = []string{"call the supplier back", "count the shelves", "door code changed", "holiday on Friday", "new price list", "parcel for Mira",
		"printer is out of toner", "tea is empty"}
)
