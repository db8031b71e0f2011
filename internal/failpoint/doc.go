// Package failpoint lets the crash campaign kill the process at a named place in the code. Hit is an empty function
// unless the binary is built with the tag "failpoints", so a release holds no trace of it.
package failpoint
