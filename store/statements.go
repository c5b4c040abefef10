package store

import (
	"path"
	"strings"
)

// loadStatements reads sql/*.sql, for an inbox sql/inbox/*.sql too, which replace
// those of the same name, and fills their places in.
func (s *Store) loadStatements(quoted string) error {
	places := s.places(quoted)
	s.sql = map[string]string{}
	if err := s.loadFrom("sql", places); err != nil || !s.isInbox() {
		return err
	}
	return s.loadFrom("sql/inbox", places)
}

func (s *Store) loadFrom(folder string, places *strings.Replacer) error {
	entries, err := files.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		text, err := files.ReadFile(path.Join(folder, e.Name()))
		if err != nil {
			return err
		}
		s.sql[strings.TrimSuffix(e.Name(), ".sql")] = places.Replace(string(text))
	}
	return nil
}

// places are what differs between tables: {{table}} is the name, and {{name}} is it
// as a text, as the companion tables have it, {{mine}} and {{mine:e}} leave out
// messages of other groups, {{origin}} is where a message came from, {{shown}} what
// a person sees of that, {{row}} finds a row again that the statement has read,
// {{unless there}} is what an insert does about a message that is there, and
// {{give back}} ends what borrow has set.
func (s *Store) places(quoted string) *strings.Replacer {
	row, unlessThere := "t.ctid = p.at", "\n\ton conflict (message_id, consumer_group) do nothing"
	if s.partitioned { // places in the heap are those of one partition; no unique index has these columns
		row, unlessThere = "t.id = p.id and t.created_at = p.created_at", ""
	}
	var mine, mineElder, origin, shown string
	if s.isInbox() {
		mine, mineElder = " and t.consumer_group = @group", " and e.consumer_group = @group"
		origin = `,
	t.message_id, t.source, coalesce(t.partition, -1) as partition, coalesce(t."offset", -1) as "offset", t.raw_key, t.occurred_at,
	t.raw_headers::text as raw_headers`
		shown = `,
	message_id, source, consumer_group, partition, "offset", raw_headers::text as raw_headers`
	}
	return strings.NewReplacer("{{table}}", quoted, "{{name}}", "'"+strings.ReplaceAll(s.table, "'", "''")+"'", "{{mine}}", mine, "{{mine:e}}", mineElder,
		"{{origin}}", origin, "{{shown}}", shown, "{{row}}", row, "{{unless there}}", unlessThere, "{{give back}}", giveBack)
}

// ours adds the group to the arguments of a statement with {{mine}}.
func (s *Store) ours(args named) named {
	if s.isInbox() {
		args["group"] = s.cfg.Group
	}
	return args
}
