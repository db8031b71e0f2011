package decoder

import "fmt"

// Error is a message that cannot be decoded. Nothing after it can be trusted: the stream stops, and nothing at or after
// the message may be confirmed.
type Error struct {
	// Message names the message's type as the protocol's documentation does: "INSERT".
	Message string
	// Relation is the qualified name of the relation, where the message names one that is known.
	Relation string
	// Offset is where in the message reading stopped, in bytes from its type byte.
	Offset int
	// Reason says what is wrong there.
	Reason string
}

// Error names the message, the relation, the offset and the reason, and never a value of the row.
func (e *Error) Error() string {
	relation := ""
	if e.Relation != "" {
		relation = " for " + e.Relation
	}
	return fmt.Sprintf("pgoutput %s message%s, byte %d: %s", e.Message, relation, e.Offset, e.Reason)
}
