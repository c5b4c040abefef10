package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

const prefix = "OMNIBOX_"

// shortcuts are the two variables that make a file unnecessary. The long name
// wins over the short one.
var shortcuts = map[string]string{
	"OMNIBOX_DATABASE_URL":  "OMNIBOX_DATABASES_MAIN_URL",
	"OMNIBOX_KAFKA_BROKERS": "OMNIBOX_BROKERS_KAFKA_ADDRESSES",
}

// ownVariable matches what the command line, the local stack and tests read, and
// what is no key.
var ownVariable = regexp.MustCompile(`^OMNIBOX_(CONFIG|CACHE|(TEST|E2E|BENCH|BROKERTEST)_.*)$`)

// entries are the sections with names of the user's own, and the name that is
// meant where there is no file.
var entries = map[string]string{"databases": "main", "brokers": "kafka", "outboxes": "outbox", "inboxes": "inbox"}

// serviceLink matches what Kubernetes sets for every Service, which for one
// named omnibox looks like ours.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_.*)?)$`)

func variables(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	return env
}

// overlay puts the OMNIBOX_* variables into the tree. An empty variable counts
// as not set.
func overlay(root *node, env map[string]string) problems {
	var found problems
	listed := map[string][]string{} // in the file
	for section := range entries {
		for _, f := range fieldsOf(root.field(section)) {
			listed[section] = append(listed[section], f.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || env[name] == "" || serviceLink.MatchString(name) || ownVariable.MatchString(name) {
			continue
		}
		if long, ok := shortcuts[name]; ok {
			if env[long] != "" {
				continue
			}
			rest = strings.TrimPrefix(long, prefix)
		}
		path, leaf := resolve(reflect.TypeFor[Config](), strings.Split(rest, "_"), root)
		if leaf == nil {
			found = append(found, &MistakeError{Where: name, Text: unknownVariable(name, root)})
			continue
		}
		// what brings in an entry next to those of the file is a typing mistake
		if names := listed[path[0]]; len(names) > 0 && !slices.Contains(names, path[1]) {
			found = append(found, &MistakeError{Where: name, Text: fmt.Sprintf("%s in the file has no %q; %s%s", path[0], path[1], suggest(path[1], names), orUnset(name))})
			continue
		}
		n := root
		for _, key := range path {
			n = n.put(key, name)
		}
		assign(n, name, env[name], leaf)
	}
	return found
}

// orUnset is for a variable that may well be there for another program.
func orUnset(name string) string {
	if _, short := shortcuts[name]; short {
		return "; or unset " + name
	}
	return ""
}

// assign makes n what the variable says.
func assign(n *node, name, value string, leaf reflect.Type) {
	*n = node{kind: scalar, where: name, text: value}
	switch {
	case leaf.Kind() == reflect.Slice:
		n.kind = list
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				n.items = append(n.items, &node{kind: scalar, where: name, text: item})
			}
		}
	case leaf.Kind() == reflect.Pointer && value == "true": // an optional section, switched on
		n.kind = mapping
	}
}

// resolve finds the key that the words of a variable's name mean, and its
// type; no type if there is none. Names in the tree go before names that the
// variable brings in, and the shortest new name before longer ones.
func resolve(t reflect.Type, words []string, n *node) ([]string, reflect.Type) {
	switch {
	case t.Kind() == reflect.Pointer && len(words) == 0:
		return nil, t
	case t.Kind() == reflect.Pointer:
		return resolve(t.Elem(), words, n)
	case t.Kind() == reflect.Map:
		for _, name := range namesIn(words, n) {
			rest := words[strings.Count(name, "-")+1:]
			if path, leaf := resolve(t.Elem(), rest, child(n, name)); leaf != nil {
				return append([]string{name}, path...), leaf
			}
		}
	case t.Kind() == reflect.Struct:
		for _, f := range keysOf(t) {
			rest, ok := cutWords(words, strings.Split(strings.ToUpper(f.name), "_"))
			if !ok {
				continue
			}
			if path, leaf := resolve(f.typ, rest, child(n, f.name)); leaf != nil {
				return append([]string{f.name}, path...), leaf
			}
		}
	case len(words) == 0:
		return nil, t
	}
	return nil, nil
}

// namesIn lists the names that words may begin with, those in the tree first.
func namesIn(words []string, n *node) []string {
	var names []string
	for i := 1; i < len(words); i++ {
		names = append(names, strings.ToLower(strings.Join(words[:i], "-")))
	}
	slices.SortStableFunc(names, func(a, b string) int {
		known := func(s string) int {
			if child(n, s) != nil {
				return 0
			}
			return 1
		}
		return known(a) - known(b)
	})
	return names
}

func child(n *node, name string) *node {
	if n == nil {
		return nil
	}
	return n.field(name)
}

func cutWords(words, head []string) ([]string, bool) {
	if len(words) < len(head) || !slices.Equal(words[:len(head)], head) {
		return nil, false
	}
	return words[len(head):], true
}

// unknownVariable says what is wrong with a variable that no key belongs to, and
// which one was probably meant: one below it, if it is a section's; one that is
// hardly different; one that ends like it, for the beginning is what people leave
// out; else one that looks like it.
func unknownVariable(name string, root *node) string {
	valid := slices.Collect(maps.Keys(shortcuts))
	for _, f := range keysOf(reflect.TypeFor[Config]()) {
		n := child(root, f.name)
		own, ok := entries[f.name]
		if none := ok && len(fieldsOf(n)) == 0; none && f.name == "inboxes" && !strings.HasPrefix(name, "OMNIBOX_INBOX") {
			continue // what is meant is an outbox, of which there is one without a file
		} else if none {
			n = &node{kind: mapping, fields: []field{{name: own, value: &node{}}}}
		}
		valid = append(valid, variablesOf(f.typ, prefix+strings.ToUpper(f.name), n)...)
	}
	if below := matching(valid, func(v string) bool { return strings.HasPrefix(v, name+"_") }); len(below) > 0 {
		return "is a section, not a key; one of its keys is " + nearest(name, below)
	}
	best := nearest(name, valid)
	far := distance(name, best)
	for tail := name; far > 2 && strings.Contains(tail, "_"); {
		_, tail, _ = strings.Cut(tail, "_")
		if alike := matching(valid, func(v string) bool { return strings.HasSuffix(v, "_"+tail) }); len(alike) > 0 {
			return "no such key; did you mean " + nearest(name, alike) + "?"
		}
	}
	if far <= max(2, len(name)/3) {
		return "no such key; did you mean " + best + "?"
	}
	return "no such key; see docs/configuration.md"
}

func matching(all []string, match func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return !match(s) })
}

func fieldsOf(n *node) []field {
	if n == nil {
		return nil
	}
	return n.fields
}

// variablesOf lists the variables below a key, with the names that are in the
// tree.
func variablesOf(t reflect.Type, name string, n *node) []string {
	var all []string
	switch {
	case t.Kind() == reflect.Pointer:
		all = append(variablesOf(t.Elem(), name, n), name)
	case t.Kind() == reflect.Map:
		if n == nil {
			return nil
		}
		for _, f := range n.fields {
			word := strings.ToUpper(strings.ReplaceAll(f.name, "-", "_"))
			all = append(all, variablesOf(t.Elem(), name+"_"+word, f.value)...)
		}
	case t.Kind() == reflect.Struct:
		for _, f := range keysOf(t) {
			all = append(all, variablesOf(f.typ, name+"_"+strings.ToUpper(f.name), child(n, f.name))...)
		}
	default:
		all = append(all, name)
	}
	return all
}

// expandAll replaces ${VAR}, ${VAR:-default} and $$ in every value.
func expandAll(n *node, path string, env map[string]string) problems {
	var found problems
	if n.kind == scalar {
		text, missing := expand(n.text, env)
		for _, name := range missing {
			found = append(found, &MistakeError{
				Where: n.where, Path: path,
				Text: fmt.Sprintf("the environment has no %s; set it, or give a default: ${%s:-…}", name, name),
			})
		}
		if len(missing) == 0 {
			n.text = text
		} else {
			n.kind = nothing // said once is enough
		}
	}
	for _, item := range n.items {
		found = append(found, expandAll(item, path, env)...)
	}
	for _, f := range n.fields {
		found = append(found, expandAll(f.value, join(path, f.name), env)...)
	}
	return found
}

var reference = regexp.MustCompile(`\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

func expand(text string, env map[string]string) (string, []string) {
	var missing []string
	out := reference.ReplaceAllStringFunc(text, func(match string) string {
		if match == "$$" {
			return "$"
		}
		m := reference.FindStringSubmatch(match)
		value, set := env[m[1]]
		switch {
		case m[2] != "" && value == "":
			return m[3]
		case !set:
			missing = append(missing, m[1])
		}
		return value
	})
	return out, missing
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

var durationType = reflect.TypeFor[time.Duration]()
