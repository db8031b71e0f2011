package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-rounds 0", "more than 0"},
		{"-postgres 13", "choose one of"},
		{"-scenarios ax", "there is no scenario"},
		{"a", "unexpected argument"},
	} {
		_, err := parse(strings.Fields(c.args), new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("parse(%s) gave %v, want an error with %q", c.args, err, c.want)
		}
	}
	if o, err := parse(nil, new(bytes.Buffer)); err != nil || o.rounds < 3 {
		t.Errorf("the defaults are %+v, %v", o, err)
	}
}
