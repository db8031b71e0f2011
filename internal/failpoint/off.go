//go:build !failpoints

package failpoint

// Enabled says whether this binary was built with failpoints.
const Enabled = false

// Hit does nothing in a binary built without the tag "failpoints".
func Hit(string) {}
