package config

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

type kind int

const (
	nothing kind = iota // a key without a value: the default
	scalar
	list
	mapping
)

func (k kind) String() string {
	return [...]string{"nothing", "a single value", "a list", "a section with keys"}[k]
}

// node is a value of the configuration with the place it came from.
type node struct {
	kind   kind
	where  string
	text   string
	items  []*node
	fields []field
}

type field struct {
	name  string
	where string
	value *node
}

func (n *node) field(name string) *node {
	for i := range n.fields {
		if n.fields[i].name == name {
			return n.fields[i].value
		}
	}
	return nil
}

// put returns the named field, which it adds if it is not there.
func (n *node) put(name, where string) *node {
	if n.kind == nothing {
		n.kind = mapping
	}
	if f := n.field(name); f != nil {
		return f
	}
	f := &node{where: where}
	n.fields = append(n.fields, field{name: name, where: where, value: f})
	return f
}

// readDocument reads YAML. A file that cannot be read as such has one problem.
func readDocument(name string, data []byte) (*node, problems) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		// the library's own text quotes the lines around, secrets included
		if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
			return nil, problems{{Where: at(name, e.GetToken().Position.Line), Text: e.GetMessage()}}
		}
		return nil, problems{{Where: name, Text: err.Error()}}
	}
	r := reader{name: name, anchors: map[string]*node{}}
	root := &node{kind: mapping, where: name}
	for i, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if i > 0 {
			r.problem(doc.Body, "more than one document in the file")
			continue
		}
		root = r.read(doc.Body)
	}
	if root.kind == nothing {
		root.kind = mapping
	}
	return root, r.problems
}

func at(name string, line int) string { return fmt.Sprintf("%s:%d", name, line) }

// reader turns the parser's tree into nodes.
type reader struct {
	name     string
	anchors  map[string]*node
	problems problems
}

func (r *reader) where(n ast.Node) string { return at(r.name, n.GetToken().Position.Line) }

func (r *reader) problem(n ast.Node, text string) {
	r.problems = append(r.problems, &MistakeError{Where: r.where(n), Text: text})
}

func (r *reader) read(n ast.Node) *node {
	out := &node{where: r.where(n)}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.AnchorNode:
		out = r.read(n.Value)
		r.anchors[n.Name.GetToken().Value] = out
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		if target, ok := r.anchors[name]; ok {
			return target.clone()
		}
		r.problem(n, "no anchor &"+name+" above this line")
	case *ast.TagNode:
		r.problem(n, "tags are not used here: leave "+n.GetToken().Value+" out")
	case *ast.MappingNode:
		out.kind = mapping
		for _, v := range n.Values {
			r.readField(out, v)
		}
	case *ast.MappingValueNode:
		out.kind = mapping
		out.where = r.where(n.Key)
		r.readField(out, n)
	case *ast.SequenceNode:
		out.kind = list
		for _, v := range n.Values {
			out.items = append(out.items, r.read(v))
		}
	case *ast.LiteralNode:
		out.kind, out.text = scalar, n.Value.Value
	case *ast.StringNode:
		out.kind, out.text = scalar, n.Value
	default:
		out.kind, out.text = scalar, n.GetToken().Value
	}
	return out
}

func (r *reader) readField(out *node, v *ast.MappingValueNode) {
	value := r.read(v.Value)
	if v.Key.IsMergeKey() {
		for _, f := range value.fields {
			if out.field(f.name) == nil {
				out.fields = append(out.fields, f)
			}
		}
		return
	}
	f := field{name: v.Key.GetToken().Value, where: r.where(v.Key), value: value}
	for i := range out.fields {
		if out.fields[i].name == f.name { // it was merged in: the key itself wins
			out.fields[i] = f
			return
		}
	}
	out.fields = append(out.fields, f)
}

// clone copies deeply, since variables change single values later.
func (n *node) clone() *node {
	c := *n
	c.items, c.fields = nil, nil
	for _, i := range n.items {
		c.items = append(c.items, i.clone())
	}
	for _, f := range n.fields {
		f.value = f.value.clone()
		c.fields = append(c.fields, f)
	}
	return &c
}
