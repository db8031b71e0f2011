package doctor

// Area is what a check is about.
type Area string

// The areas, in the order in which a person would look at them.
const (
	Setup       Area = "set-up"
	Evidence    Area = "evidence"
	Capture     Area = "capture"
	Security    Area = "security"
	Performance Area = "performance"
	Retention   Area = "retention"
)

// Status is how a check came out.
type Status string

// The statuses.
const (
	OK      Status = "ok"
	Warning Status = "warning" // works, but somebody should know
	Problem Status = "problem" // has to be mended
	Unknown Status = "unknown" // the role may not see what it takes
	Skipped Status = "skipped" // does not apply here
)

// Report is what an examination found. Its JSON form is what scripts rely on.
type Report struct {
	// Version is pgwitness's, Server the server's, Database the database's name, Role who asked.
	Version  string `json:"version"`
	Database string `json:"database"`
	Server   string `json:"server"`
	Role     string `json:"role"`
	// Checks are all there are, by area.
	Checks []Check `json:"checks"`
	// Summary counts them.
	Summary Summary `json:"summary"`
}

// Check is one check and how it came out.
type Check struct {
	// ID is one of the words in docs/DOCTOR.md.
	ID     string `json:"id"`
	Area   Area   `json:"area"`
	Status Status `json:"status"`
	// Finding is what there is.
	Finding string `json:"finding"`
	// Why is what follows if the check is not ok.
	Why string `json:"why"`
	// Fix is the command or the SQL that mends it, or advice; empty where nothing has to be mended.
	Fix string `json:"fix"`
}

// Summary counts checks by their status.
type Summary struct {
	OK       int `json:"ok"`
	Warnings int `json:"warnings"`
	Problems int `json:"problems"`
	Unknown  int `json:"unknown"`
	Skipped  int `json:"skipped"`
}

// Problems counts the problems: those of the set-up, with which `pgwitness run` does not start, and all others.
func (r *Report) Problems() (setup, others int) {
	for _, c := range r.Checks {
		switch {
		case c.Status != Problem:
		case c.Area == Setup:
			setup++
		default:
			others++
		}
	}
	return setup, others
}

// report makes every check.
func (f *facts) report() *Report {
	r := &Report{Version: f.cfg.Version, Database: f.setup.Database, Server: f.setup.Version, Role: f.server.User}
	for _, c := range checks() {
		out := c.find(f)
		r.Checks = append(r.Checks, Check{ID: c.id, Area: c.area, Status: out.status, Finding: out.text, Why: c.why, Fix: out.fix})
		switch out.status {
		case OK:
			r.Summary.OK++
		case Warning:
			r.Summary.Warnings++
		case Problem:
			r.Summary.Problems++
		case Unknown:
			r.Summary.Unknown++
		case Skipped:
			r.Summary.Skipped++
		}
	}
	return r
}
