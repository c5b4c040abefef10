package config

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the reference of keys in docs/configuration.md")

const (
	docs  = "../../docs/configuration.md"
	begin = "<!-- keys: written by go test ./worker/config -update -->\n"
	end   = "<!-- end of keys -->\n"
)

func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(docs)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	have, tail, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := keyReference(t)
	if *update {
		require.NoError(t, os.WriteFile(docs, []byte(head+begin+want+end+tail), 0o644))
		return
	}
	require.Equal(t, want, have, "run go test ./worker/config -update")
}

func TestExampleHasEveryKeyWithItsDefault(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../omnibox.example.yaml")
	require.NoError(t, err)
	example, err := Parse("omnibox.example.yaml", text, nil)
	require.NoError(t, err)
	const boxes = "outboxes: { orders: {} }\ninboxes: { billing: { topics: [orders], group: billing } }"
	bare, err := Parse("bare.yaml", []byte(boxes), []string{
		"OMNIBOX_DATABASE_URL=postgres://localhost:5432/app", "OMNIBOX_KAFKA_BROKERS=localhost:9092",
	})
	require.NoError(t, err)
	bare.origins, example.origins = nil, nil
	require.Equal(t, bare, example)
	walk(reflect.TypeFor[Config](), "", func(k key, _, path string) {
		require.Contains(t, string(text), k.name+":", path)
	})
	// what is commented out is valid too
	uncommented := strings.NewReplacer("    # tls:", "    tls:", "    #   ", "      ", "    # sasl:", "    sasl:").Replace(string(text))
	full, err := Parse("omnibox.example.yaml", []byte(uncommented), []string{"KAFKA_PASSWORD=x"})
	require.NoError(t, err)
	require.Equal(t, "/etc/kafka/ca.pem", full.Brokers["kafka"].TLS.CA)
	require.Equal(t, "SCRAM-SHA-512", full.Brokers["kafka"].SASL.Mechanism)
}

// walk visits every key that is not a section, those of a section before those of
// the sections in it.
func walk(t reflect.Type, path string, visit func(k key, section, path string)) {
	keys := keysOf(t)
	slices.SortStableFunc(keys, func(a, b key) int { return cmp.Compare(depth(a), depth(b)) })
	for _, k := range keys {
		at := join(path, k.name)
		typ := k.typ
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() == reflect.Map {
			at, typ = at+".<name>", typ.Elem()
		}
		if typ.Kind() == reflect.Struct {
			walk(typ, at, visit)
			continue
		}
		visit(k, t.Name(), at)
	}
}

func depth(k key) int {
	if slices.Contains([]reflect.Kind{reflect.Struct, reflect.Map, reflect.Pointer}, k.typ.Kind()) {
		return 1
	}
	return 0
}

// keyReference is a table of every key, made of tags and comments.
func keyReference(t *testing.T) string {
	t.Helper()
	comments := fieldComments(t)
	var b strings.Builder
	section := ""
	walk(reflect.TypeFor[Config](), "", func(k key, structure, path string) {
		at := path[:strings.LastIndexByte(path, '.')]
		if at != section {
			section = at
			fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| key | default | values | meaning |\n|---|---|---|---|\n", at, comments[structure])
		}
		field := structures[structure].FieldByIndex(k.index).Name
		comment := cmp.Or(comments[structure+"."+field], comments["Pipeline."+field])
		require.NotEmpty(t, comment, path)
		required := defaultOf(k, comment)
		comment = strings.TrimSpace(strings.TrimSuffix(strings.Replace(comment, field, "`"+k.name+"`", 1), "Required."))
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.name, required, valuesOf(k), comment)
	})
	return b.String() + "\n"
}

var structures = map[string]reflect.Type{
	"Database": reflect.TypeFor[Database](), "Broker": reflect.TypeFor[Broker](), "TLS": reflect.TypeFor[TLS](),
	"SASL": reflect.TypeFor[SASL](), "Outbox": reflect.TypeFor[Outbox](), "Inbox": reflect.TypeFor[Inbox](), "Message": reflect.TypeFor[Message](),
	"Handler": reflect.TypeFor[Handler](), "Filter": reflect.TypeFor[Filter](),
	"Retry": reflect.TypeFor[Retry](), "Temporal": reflect.TypeFor[Temporal](), "HTTP": reflect.TypeFor[HTTP](),
	"Log": reflect.TypeFor[Log](), "Shutdown": reflect.TypeFor[Shutdown](),
}

func defaultOf(k key, comment string) string {
	switch text, ok := k.tag.Lookup("default"); {
	case ok:
		return "`" + text + "`"
	case strings.Contains(comment, "Required."):
		return "required"
	default:
		return "none"
	}
}

func valuesOf(k key) string {
	switch {
	case k.tag.Get("enum") != "":
		return "`" + strings.ReplaceAll(k.tag.Get("enum"), ",", "`, `") + "`"
	case k.typ == durationType:
		return fmt.Sprintf("duration, %s to %s", k.tag.Get("min"), k.tag.Get("max"))
	case k.typ.Kind() == reflect.Int:
		return fmt.Sprintf("%s to %s", k.tag.Get("min"), k.tag.Get("max"))
	case k.typ.Kind() == reflect.Bool:
		return "`true`, `false`"
	case k.typ.Kind() == reflect.Slice:
		return "list"
	default:
		return "text"
	}
}

// fieldComments reads the comments of structs and fields.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"config.go", "inbox.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		maps.Copy(out, commentsOf(file))
	}
	return out
}

func commentsOf(file *ast.File) map[string]string {
	out := map[string]string{}
	oneLine := func(g *ast.CommentGroup) string { return strings.Join(strings.Fields(g.Text()), " ") }
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			typ := spec.(*ast.TypeSpec)
			out[typ.Name.Name] = oneLine(gen.Doc)
			structure, ok := typ.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range structure.Fields.List {
				for _, name := range f.Names {
					out[typ.Name.Name+"."+name.Name] = oneLine(f.Doc)
				}
			}
		}
	}
	return out
}
