package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// validate finds what is wrong between keys, except where a problem is known
// already: what is missing because its key is misspelt is one, too.
func (c *Config) validate(known problems, misspelt map[string]bool) problems {
	v := validator{origins: c.origins, known: known, misspelt: misspelt}
	for _, name := range slices.Sorted(maps.Keys(c.Databases)) {
		v.database(join("databases", name)+".url", c.Databases[name].URL)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Brokers)) {
		cfg := c.Brokers[name].Kafka()
		cfg.TLS = nil // it is files: see checkFiles
		v.judged(join("brokers", name), cfg.Validate())
	}
	for _, b := range c.Boxes() {
		v.box(b, c)
	}
	v.shared(c)
	if c.HTTP.Listen != "" {
		v.address("http.listen", c.HTTP.Listen)
	}
	if c.Temporal.Address != "" {
		v.address("temporal.address", c.Temporal.Address)
	}
	return v.problems
}

type validator struct {
	origins  origins
	known    problems
	misspelt map[string]bool
	problems problems
}

func (v *validator) problem(path, format string, args ...any) {
	if slices.ContainsFunc(v.known, func(p *MistakeError) bool { return p.Path != "" && p.Path == path }) {
		return
	}
	if _, set := v.origins[path]; v.misspelt[path] && !set {
		return
	}
	v.problems = append(v.problems, &MistakeError{Where: v.origins.of(path), Path: path, Text: fmt.Sprintf(format, args...)})
}

// database finds what the driver does not understand in a url. Its own text has the
// url in front, in which not every password can be told from the rest.
func (v *validator) database(path string, u Secret) {
	if strings.TrimSpace(u.Reveal()) == "" {
		v.problem(path, "is required")
		return
	}
	if _, err := pgxpool.ParseConfig(u.Reveal()); err != nil {
		text := err.Error()
		why := strings.TrimPrefix(text[strings.LastIndexByte(text, '`')+1:], ": ")
		v.problem(path, "cannot be read: %s", why)
	}
}

func (v *validator) address(path, value string) {
	if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
		v.problem(path, "%q is not host:port", value)
	}
}

func (v *validator) box(b Box, c *Config) {
	path := b.Path()
	if _, ok := c.Databases[b.Database]; !ok {
		v.missing(path+".database", "database", b.Database, slices.Collect(maps.Keys(c.Databases)), "OMNIBOX_DATABASE_URL")
	}
	if _, ok := c.Brokers[b.Broker]; !ok {
		v.missing(path+".broker", "broker", b.Broker, slices.Collect(maps.Keys(c.Brokers)), "OMNIBOX_KAFKA_BROKERS")
	}
	if b.Retry.Base > b.Retry.Max {
		v.problem(path+".retry", "base (%s) is above max (%s)", b.Retry.Base, b.Retry.Max)
	}
	if b.Inbox == nil {
		return
	}
	if _, twice := c.Outboxes[b.Name]; twice {
		v.problem(path, "there is an outbox of this name: pipelines need names of their own")
	}
	v.inbox(path, *b.Inbox)
}

func (v *validator) missing(path, what, name string, have []string, variable string) {
	if len(have) == 0 {
		v.problem(path, "there is no %s %q: add a section %ss, or set %s", what, name, what, variable)
		return
	}
	v.problem(path, "there is no %s %q; %s", what, name, suggest(name, have))
}

// shared refuses two pipelines on one table that would take each other's
// events, also where their databases are one under two names.
func (v *validator) shared(c *Config) {
	first := map[string]Box{}
	for _, b := range c.Boxes() {
		other, taken := first[c.TableOf(b)]
		if !taken {
			first[c.TableOf(b)] = b
			continue
		}
		for _, each := range []Box{other, b} {
			switch {
			case (other.Inbox == nil) != (b.Inbox == nil):
				v.problem(each.Path(), "%s and %s share table %s: an outbox and an inbox need tables of their own", other.Path(), b.Path(), b.Table)
			case b.Inbox != nil && other.Inbox.Group == b.Inbox.Group:
				v.problem(each.Path(), "inboxes %s and %s share table %s and group %s: one inbox takes several topics", other.Name, b.Name, b.Table, b.Inbox.Group)
			case b.Inbox != nil && each.Claim != "row":
				v.problem(each.Path(), "inboxes %s and %s share table %s: both need claim: row, or tables of their own", other.Name, b.Name, b.Table)
			case b.Inbox == nil && (each.Claim != "row" || each.Outbox.Filter.Empty()):
				v.problem(each.Path(), "outboxes %s and %s share table %s: both need claim: row and a filter", other.Name, b.Name, b.Table)
			}
		}
	}
}

// place tells databases apart: by server and database where the url says so,
// whoever connects and how.
func place(name string, db Database) string {
	u, err := url.Parse(db.URL.Reveal())
	if err != nil || u.Host == "" {
		return cmp.Or(db.URL.Reveal(), name)
	}
	return u.Host + u.Path
}
