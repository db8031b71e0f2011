package pipeline_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/internal/pipeline"
)

func TestFilter(t *testing.T) {
	named := func(names ...string) (tables []pipeline.TableName) {
		for _, name := range names {
			schema, table, _ := strings.Cut(name, ".")
			tables = append(tables, pipeline.TableName{Schema: schema, Name: table})
		}
		return tables
	}
	installed := []string{"event_type", "table_name", "schema_name"}
	for _, c := range []struct {
		name    string
		filter  pipeline.Filter
		columns []string
		row     []pgoutputtest.Value // of these columns
		want    bool
	}{
		{"nothing to choose by", pipeline.Filter{}, installed, []pgoutputtest.Value{"INSERT", "orders", "shop"}, true},
		{"a table in any schema", pipeline.Filter{Tables: named(".orders")}, installed, []pgoutputtest.Value{"INSERT", "orders", "shop"}, true},
		{"a table in its schema", pipeline.Filter{Tables: named("shop.orders")}, installed, []pgoutputtest.Value{"INSERT", "orders", "shop"}, true},
		{"a table in another schema", pipeline.Filter{Tables: named("crm.orders")}, installed, []pgoutputtest.Value{"INSERT", "orders", "shop"}, false},
		{"another table", pipeline.Filter{Tables: named(".customers", "shop.customers")}, installed, []pgoutputtest.Value{"INSERT", "orders", "shop"}, false},
		{"one of two", pipeline.Filter{Tables: named(".customers", ".orders")}, installed, []pgoutputtest.Value{"INSERT", "orders", "shop"}, true},
		{"no table", pipeline.Filter{Tables: named(".orders")}, installed, []pgoutputtest.Value{"LOGIN", nil, nil}, false},
		{"a schema that the row does not tell", pipeline.Filter{Tables: named("shop.orders")}, installed[:2], []pgoutputtest.Value{"INSERT", "orders"}, true},
		{"both names in one column", pipeline.Filter{Tables: named("shop.orders")}, installed[:2], []pgoutputtest.Value{"INSERT", "shop.orders"}, true},
		{"two other names in one column", pipeline.Filter{Tables: named("crm.orders")}, installed[:2], []pgoutputtest.Value{"INSERT", "shop.orders"}, false},
		{"a table that has a column less", pipeline.Filter{Tables: named(".orders")}, installed[:1], []pgoutputtest.Value{"INSERT"}, false},

		{"not this table", pipeline.Filter{ExceptTables: named(".orders")}, installed, []pgoutputtest.Value{"INSERT", "orders", "shop"}, false},
		{"not this table of this schema", pipeline.Filter{ExceptTables: named("shop.orders")}, installed, []pgoutputtest.Value{"INSERT", "orders", "shop"}, false},
		{"not this table of another schema", pipeline.Filter{ExceptTables: named("crm.orders")}, installed, []pgoutputtest.Value{"INSERT", "orders", "shop"}, true},
		{"not that of a schema that the row does not tell", pipeline.Filter{ExceptTables: named("shop.orders")}, installed[:2], []pgoutputtest.Value{"INSERT", "orders"}, true},
		{"no table to leave out", pipeline.Filter{ExceptTables: named(".orders")}, installed, []pgoutputtest.Value{"LOGIN", nil, nil}, true},
		{"this table, but not in this schema", pipeline.Filter{Tables: named(".orders"), ExceptTables: named("shop.orders")}, installed, []pgoutputtest.Value{"INSERT", "orders", "shop"}, false},

		{"an operation", pipeline.Filter{Operations: []decoder.Op{decoder.OpDelete}}, installed, []pgoutputtest.Value{"delete", "orders", "shop"}, true},
		{"another operation", pipeline.Filter{Operations: []decoder.Op{decoder.OpDelete}}, installed, []pgoutputtest.Value{"UPDATE", "orders", "shop"}, false},
		{"an operation of another table", pipeline.Filter{Tables: named(".a"), Operations: []decoder.Op{decoder.OpDelete}}, installed, []pgoutputtest.Value{"DELETE", "orders", "shop"}, false},
		{"any other operation", pipeline.Filter{Operations: []decoder.Op{decoder.OpOther}}, installed, []pgoutputtest.Value{"LOGIN", nil, nil}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var columns []pgoutputtest.Column
			for _, name := range c.columns {
				columns = append(columns, pgoutputtest.Column{Name: name, Type: pgoutputtest.Text})
			}
			d := decoder.New(decoder.Config{Schema: "public", Table: "custom_audit_log"})
			var batch decoder.Batch
			for _, message := range [][]byte{
				pgoutputtest.Relation(1, "public", "custom_audit_log", 'f', columns...),
				pgoutputtest.Begin(1, pgoutputtest.Epoch, 742),
				pgoutputtest.Insert(1, c.row...),
				// What somebody does to the evidence passes, whatever the filter says.
				pgoutputtest.Update(1, 0, nil, c.row),
				pgoutputtest.Delete(1, 'O', c.row...),
			} {
				if _, err := d.Decode(message, &batch); err != nil {
					t.Fatal(err)
				}
			}
			var passed []bool
			for i := range batch.Events {
				passed = append(passed, c.filter.Passes(&batch.Events[i]))
			}
			if diff := cmp.Diff([]bool{c.want, true, true}, passed); diff != "" {
				t.Errorf("an audit event and two of tampering (-want +got):\n%s", diff)
			}
		})
	}
}
