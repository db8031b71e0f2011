package main

// mutant is one fault: from, which stands once in file, becomes to, and the tests of packages must fail.
type mutant struct {
	name     string
	file     string
	from, to string
	packages []string
}

var simulation = []string{"./internal/pipeline"}

const (
	session   = "internal/replication/session.go"
	connect   = "internal/replication/connect.go"
	stream    = "internal/replication/stream.go"
	loop      = "internal/pipeline/pipeline.go"
	worker    = "internal/pipeline/worker.go"
	confirmer = "internal/pipeline/confirmer.go"
	timeline  = "internal/replication/timeline.go"
	member    = "internal/replication/membership.go"
	retention = "decoder/retention.go"
)

// decoding and following are the tests of one package, where no simulation is needed to notice.
var (
	decoding  = []string{"./decoder"}
	following = []string{"./internal/replication"}
)

var mutants = []mutant{
	// The acknowledgement.
	{"confirm a commit when it is received", session,
		"		s.advance(result.End)\n", "		s.advance(result.End)\n		st.Confirm(result.End)\n", simulation},
	{"confirm one byte past the end of a commit", session,
		"		s.advance(result.End)\n", "		s.advance(result.End + 1)\n", simulation},
	{"confirm WALStart plus the message's length", session,
		"	result, err := st.handoff.decode(s.decoder, x.WALData, again)\n",
		"	result, err := st.handoff.decode(s.decoder, x.WALData, again)\n	s.advance(decoder.LSN(x.WALStart) + decoder.LSN(len(x.WALData)))\n", simulation},
	{"confirm a keepalive's position while events are unwritten", session,
		"		s.advance(end)\n		if last", "		s.stream.Confirm(end)\n		if last", simulation},
	{"let a keepalive inside a transaction count", session,
		"	if !s.decoder.InTransaction() {\n", "	{\n", simulation},
	{"confirm before the sinks have written", loop,
		"	if len(batch.Events) > 0 {\n", "	if batch.End != 0 {\n		p.confirmer.durable(batch.End)\n	}\n	if len(batch.Events) > 0 {\n", simulation},
	{"confirm although a sink has failed", worker,
		"		if err := retry.Pause(j.ctx, wait); err != nil {\n			return err\n		}\n", "		_ = backoff\n		return nil\n", simulation},
	{"confirm when the first of several sinks is done", loop,
		"	for _, w := range p.workers {\n		if err := <-w.done; err != nil {", "	for _, w := range p.workers[:1] {\n		if err := <-w.done; err != nil {", simulation},
	{"confirm before the checkpoint is durable", confirmer,
		"			if !c.save(ctx, mark) {\n				return\n			}\n			failpoint", "			c.stream.Confirm(end)\n			if !c.save(ctx, mark) {\n				return\n			}\n			failpoint", simulation},
	{"confirm although the checkpoint cannot be written", confirmer,
		"		if backoff.Wait(ctx) != nil {\n			return false\n		}\n", "		_ = backoff\n		return true\n", simulation},
	{"leave without confirming what was finished", loop,
		"		p.confirmer.finish(writing)\n", "", simulation},
	{"never confirm on an idle table", session,
		"	if !s.decoder.InTransaction() {\n", "	if false {\n", simulation},

	// Nothing lost, nothing twice, in order.
	{"skip a row that cannot be decoded", session,
		"		st.cfg.Observer.DecodeError()\n		return err\n", "		st.cfg.Observer.DecodeError()\n		return nil\n", simulation},
	{"hand out again what a new connection repeats", session,
		"next.Compare(st.handed) <= 0\n", "false\n", simulation},
	{"drop one event too many of what a new connection repeats", session,
		"Seq: now.Seq - 1}", "Seq: now.Seq}", simulation},
	{"start again behind one's own confirmed position", connect,
		"	start := max(cat.Slot.ConfirmedFlush, s.Confirmed())\n", "	start := max(cat.Slot.ConfirmedFlush, s.Confirmed()+1)\n", simulation},
	{"deliver to a sink what it already holds", worker,
		"	events := after(j.events, w.current().Position)\n", "	events := j.events\n", simulation},
	{"forget a batch that was taken while the sink failed", worker,
		"	for n := len(events); n > 0; {\n", "	for n := len(events); n > 0 && w.current().State != \"failing\"; {\n", simulation},
	{"skip an event that a sink refuses where dead letters have no place", worker,
		"at < 0 || w.letters == nil", "at < 0", simulation},
	{"write what comes after a refused event before it is a dead letter", worker,
		"			n = at\n			continue\n", "			events = append(append(events[:0:0], events[:at]...), events[at+1:]...)\n			n = len(events)\n			continue\n", simulation},
	{"take a dead letter for kept although it could not be written", worker,
		"			return err\n		}\n		w.observer.DeadLetter", "			_ = err\n		}\n		w.observer.DeadLetter", simulation},
	{"write a dead letter again after a restart", worker,
		"	if e.Compare(w.letters.last) > 0 {\n", "	{\n", simulation},
	{"let nothing but audit events pass a filter", "internal/pipeline/filter.go",
		"	if e.Kind() != decoder.KindAudit {\n		return true\n	}\n", "", simulation},
	{"ignore that the slot was moved by somebody else", connect,
		"	case slot > was.Confirmed:\n", "	case false:\n", simulation},
	{"end one transaction before EndPos", session,
		"		case result.End > last:\n", "		case result.End >= last:\n", simulation},

	// Evidence.
	{"follow a table that was published later than it was made", member,
		"|| c.Publication.Member.Founding", "|| true", following},
	{"follow another table although the one before was taken out of the publication", member,
		"	case c.Publication.table(was.members[0]) == 0:\n		return false\n", "", following},
	{"forget the tables that were the audit table before", member,
		"	for _, m := range was.members {\n		if m != now", "	for _, m := range was.members[:0] {\n		if m != now", following},
	{"take an announcement outside of a transaction for one", retention,
		"flags != transactional || !d.open || ", "flags > transactional || ", decoding},
	{"let an announcement outlive its transaction", "decoder/decoder.go",
		"	d.announced = d.announced[:0]\n", "", decoding},
	{"take any change after an announcement for retention", retention,
		"	case op == OpDelete && slices", "	case slices", decoding},
	{"take another table's announcement for one of the audit table's", retention,
		"slices.Contains(d.announced, rel.name)", "len(d.announced) > 0", decoding},
	{"go on on a timeline that lacks what was delivered", timeline,
		"		case branch.At <= was.newest():\n", "		case false:\n", following},
	{"go on on a timeline that left another one than ours", timeline,
		"		case branch.Timeline != was.Timeline:\n", "		case false:\n", following},
	{"keep what was confirmed past where the timelines part", timeline,
		"	if was.Confirmed <= limit {\n", "	if was != nil {\n", following},
	{"take whoever has the slot for a replica", connect,
		"	case slot.Active && slot.Peer:\n", "	case slot.Active:\n", following},
	{"let a process that was frozen put its checkpoint over a later one", "internal/checkpoint/checkpoint.go",
		"mark.Before(*held)", "false", []string{"./internal/checkpoint"}},

	// The server comes first.
	{"no status updates while the buffer is full", session,
		"	s.heard = time.Now() // it was not listened to\n	return s.lookAround()\n", "	s.heard = time.Now()\n	return nil\n", simulation},
	{"read on although the buffer is full", session,
		"		if s.stream.ended || s.stream.handoff.full() {\n			if err", "		if s.stream.ended {\n			if err", simulation},
	{"hold up a server that shuts down", session,
		"now.UnixNano()-since > int64(stopGrace)", "false && since > int64(stopGrace)", simulation},
	{"do not notice that the server shuts down while the buffer is full", "internal/replication/monitor.go",
		"			m.stream.ServerStopping()\n", "", simulation},
	{"wait for ever on a dead link", session,
		"	if silence > s.stream.patience {\n", "	if false {\n", simulation},
	{"do not wait for the stuck sink within the grace period", loop,
		"	timer := time.NewTimer(p.cfg.Grace)\n", "	timer := time.NewTimer(0)\n", simulation},
	{"wait for a stuck sink for ever", loop,
		"		stopWriting(errGrace)\n", "", simulation},
	{"swallow the error of the first connection", stream,
		"	case <-s.over:\n		return Mark{}, s.handoff.why()\n", "", simulation},
}
