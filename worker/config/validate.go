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
		v.broker(join("brokers", name), cfg)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Outboxes)) {
		v.outbox(join("outboxes", name), c.Outboxes[name], c)
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

func (v *validator) outbox(path string, o Outbox, c *Config) {
	if _, ok := c.Databases[o.Database]; !ok {
		v.missing(path+".database", "database", o.Database, slices.Collect(maps.Keys(c.Databases)), "OMNIBOX_DATABASE_URL")
	}
	if _, ok := c.Brokers[o.Broker]; !ok {
		v.missing(path+".broker", "broker", o.Broker, slices.Collect(maps.Keys(c.Brokers)), "OMNIBOX_KAFKA_BROKERS")
	}
	if o.Retry.Base > o.Retry.Max {
		v.problem(path+".retry", "base (%s) is above max (%s)", o.Retry.Base, o.Retry.Max)
	}
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
	first := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Outboxes)) {
		table := c.TableOf(name)
		other, taken := first[table]
		if !taken {
			first[table] = name
			continue
		}
		for _, each := range []string{other, name} {
			if o := c.Outboxes[each]; o.Claim != "row" || o.Filter.Empty() {
				v.problem(join("outboxes", each),
					"outboxes %s and %s share table %s: both need claim: row and a filter", other, name, c.Outboxes[name].Table)
			}
		}
	}
}

// TableOf names the table of an outbox so that two outboxes with one table have
// one name, however they spell it.
func (c *Config) TableOf(outbox string) string {
	o := c.Outboxes[outbox]
	return place(o.Database, c.Databases[o.Database]) + "/" + strings.TrimPrefix(o.Table, "public.")
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
