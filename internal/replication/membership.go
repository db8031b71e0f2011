package replication

import (
	"slices"
	"strconv"
	"strings"
)

// member is how a publication holds a table: by an entry of the table's own, which has an OID, or with all others.
type member struct {
	oid uint32 // of the entry; of the table where it has none, or none is known
	all bool   // FOR ALL TABLES, or with the table's schema
}

// identity tells a publication, and the audit table's membership in it, from ones that were made again. The zero value is
// that of nothing.
type identity struct {
	publication uint32
	// members has the audit table's, and after it those of tables that were the audit table before.
	members []member
}

// String is the text that Origin.Publication has: the publication's OID, a slash, and the members separated by commas. A
// member without an entry is a t and the table's OID.
func (id identity) String() string {
	texts := make([]string, len(id.members))
	for i, m := range id.members {
		texts[i] = formatOID(m.oid)
		if m.all {
			texts[i] = "t" + texts[i]
		}
	}
	return formatOID(id.publication) + "/" + strings.Join(texts, ",")
}

// parseIdentity reads what String wrote, or an earlier release: it left a member without an entry out. What is neither
// gives an identity that no publication has.
func parseIdentity(text string) (id identity) {
	publication, members, _ := strings.Cut(text, "/")
	oid := func(text string) uint32 {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			n = 0 // no object's OID
		}
		return uint32(n)
	}
	id.publication = oid(publication)
	if members == "" && id.publication != 0 {
		return id
	}
	for text := range strings.SplitSeq(members, ",") {
		table, all := strings.CutPrefix(text, "t")
		id.members = append(id.members, member{oid: oid(table), all: all})
	}
	return id
}

// entries are the OIDs of the members that have an entry of their own, as an array of PostgreSQL's.
func (id identity) entries() string {
	var oids []string
	for _, m := range id.members {
		if !m.all {
			oids = append(oids, formatOID(m.oid))
		}
	}
	return "{" + strings.Join(oids, ",") + "}"
}

// identity is what c says now, with what of was is still there.
func (c *catalog) identity(was identity) identity {
	now := identity{publication: c.Publication.OID, members: []member{{oid: c.Table.OID, all: true}}}
	if m := c.Publication.Member; m != nil {
		now.members[0] = member{oid: m.OID}
	}
	for _, m := range was.members {
		if m != now.members[0] && (m.all || c.Publication.table(m) != 0) {
			now.members = append(now.members, m)
		}
	}
	return now
}

// table is the OID of the table that m, one of those asked for, holds; 0 if it is there no more.
func (p *catalogPublication) table(m member) uint32 {
	for _, entry := range p.Entries {
		if entry.OID == m.oid && !m.all {
			return entry.Table
		}
	}
	return 0
}

// former are the OIDs of the tables that were the audit table before, by what now remembers.
func (c *catalog) former(now identity) (oids []uint32) {
	for _, m := range now.members[1:] {
		table := m.oid
		if !m.all {
			table = c.Publication.table(m)
		}
		if table != c.Table.OID && !slices.Contains(oids, table) { // as one that was met it may be there twice
			oids = append(oids, table)
		}
	}
	return oids
}

// continues says whether every row that was written to the audit table between was and now has been published. Another
// table may have taken its name; then the one before must still be published by the same entry, and the new one must
// have been since it was made, or be one that was followed before and has been published all along.
func (c *catalog) continues(was, now identity) bool {
	current := now.members[0]
	switch {
	case was.publication != now.publication:
		return false
	case len(was.members) == 0:
		return current.all
	case was.members[0] == current:
		return true
	case was.members[0].all || current.all:
		return was.members[0].all && current.all
	case c.Publication.table(was.members[0]) == 0:
		return false
	}
	return slices.Contains(was.members, current) || c.Publication.Member.Founding
}

// follow checks that nothing can have passed unseen since was, and makes what c says now what is remembered.
func (s *Stream) follow(c *catalog, was identity) (now identity, ok bool) {
	now = c.identity(was)
	if first := was.publication == 0 && was.members == nil; !first && !c.continues(was, now) {
		return now, false
	}
	text := now.String()
	if old := s.publication.Swap(&text); old != nil && *old == text || len(was.members) == 0 {
		return now, true
	}
	if now.members[0] != was.members[0] {
		s.log.Info("another table has taken the audit table's name, and was published as long as it had it: following it, "+
			"and the one before for what is still done to it", "table", s.target().tableName(), "oid", c.Table.OID, "before", c.former(now))
	}
	for _, m := range was.members {
		if !slices.Contains(now.members, m) {
			s.log.Warn("a table that was the audit table before is not published any more: what is done to it is not seen",
				"publication", s.cfg.Publication)
		}
	}
	return now, true
}

// meet remembers a table that had the audit table's name in the stream.
func (s *Stream) meet(table uint32) {
	var met []member
	if before := s.met.Load(); before != nil {
		met = slices.Clone(*before)
	}
	met = append(met, member{oid: table, all: true})
	s.met.Store(&met)
}

// Publication is what to remember of the publication as Origin.Publication. It changes when another table takes the audit
// table's place.
func (s *Stream) Publication() string {
	text, met := *s.publication.Load(), s.met.Load()
	if met == nil {
		return text
	}
	id := parseIdentity(text)
	for _, m := range *met {
		if !slices.Contains(id.members, m) {
			id.members = append(id.members, m)
		}
	}
	return id.String()
}
