-- The shop of `pgwitness demo`: four roles, and five tables audited into the table of seed.sql, which comes before.

CREATE ROLE demo_web;
CREATE ROLE demo_billing;
CREATE ROLE demo_desk;
CREATE ROLE demo_import;

-- For SET ROLE: a user that is no superuser must be a member.
GRANT demo_web, demo_billing, demo_desk, demo_import TO CURRENT_USER;

CREATE TABLE customers (
    id SERIAL PRIMARY KEY,
    name TEXT NOT NULL,
    city TEXT NOT NULL,
    since DATE NOT NULL DEFAULT current_date
);

CREATE TABLE products (
    id SERIAL PRIMARY KEY,
    name TEXT NOT NULL,
    price NUMERIC(8, 2) NOT NULL,
    stock INTEGER NOT NULL CHECK (stock >= 0)
);

CREATE TABLE orders (
    id SERIAL PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers,
    status TEXT NOT NULL DEFAULT 'open',
    total NUMERIC(10, 2)
);
CREATE INDEX ON orders (status, id);
CREATE INDEX ON orders (customer_id);

CREATE TABLE order_lines (
    id SERIAL PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders,
    product_id INTEGER NOT NULL REFERENCES products,
    quantity INTEGER NOT NULL
);
CREATE INDEX ON order_lines (order_id);

CREATE TABLE payments (
    id SERIAL PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders,
    amount NUMERIC(10, 2) NOT NULL,
    method TEXT NOT NULL
);
CREATE INDEX ON payments (order_id);

-- As custom_audit_trigger_function(), for any table with a column id: the whole row when it comes or goes, and what
-- changed, before and after, when it is updated.
CREATE FUNCTION shop_audit()
RETURNS TRIGGER AS $$
DECLARE
    audit_data JSONB;
BEGIN
    IF TG_OP = 'INSERT' THEN
        audit_data := to_jsonb(NEW);
    ELSIF TG_OP = 'DELETE' THEN
        audit_data := to_jsonb(OLD);
    ELSE
        SELECT jsonb_build_object('id', NEW.id,
                                  'old', jsonb_object_agg(key, before.value),
                                  'new', jsonb_object_agg(key, after.value))
        INTO audit_data
        FROM jsonb_each(to_jsonb(OLD)) AS before JOIN jsonb_each(to_jsonb(NEW)) AS after USING (key)
        WHERE before.value <> after.value;
    END IF;

    INSERT INTO custom_audit_log (event_type, event_timestamp, user_name, table_name, row_data)
    VALUES (TG_OP, current_timestamp, current_user, TG_TABLE_NAME, audit_data);

    RETURN NULL;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER shop_audit AFTER INSERT OR UPDATE OR DELETE ON customers
FOR EACH ROW EXECUTE FUNCTION shop_audit();
CREATE TRIGGER shop_audit AFTER INSERT OR UPDATE OR DELETE ON products
FOR EACH ROW EXECUTE FUNCTION shop_audit();
CREATE TRIGGER shop_audit AFTER INSERT OR UPDATE OR DELETE ON orders
FOR EACH ROW EXECUTE FUNCTION shop_audit();
CREATE TRIGGER shop_audit AFTER INSERT OR UPDATE OR DELETE ON order_lines
FOR EACH ROW EXECUTE FUNCTION shop_audit();
CREATE TRIGGER shop_audit AFTER INSERT OR UPDATE OR DELETE ON payments
FOR EACH ROW EXECUTE FUNCTION shop_audit();

-- No role may read, change or delete audit rows: they add them through the triggers, and that is all.
GRANT SELECT, INSERT, UPDATE, DELETE ON your_table, customers, products, orders, order_lines, payments
TO demo_web, demo_billing, demo_desk, demo_import;
GRANT INSERT ON custom_audit_log TO demo_web, demo_billing, demo_desk, demo_import;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO demo_web, demo_billing, demo_desk, demo_import;
