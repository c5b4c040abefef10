package membroker

import (
	"cmp"
	"maps"
	"slices"

	"github.com/omnibox-go/omnibox/broker"
)

// group shares partitions among its members. It is guarded by the broker's lock.
type group struct {
	members   []*Consumer
	committed map[broker.Partition]int64
	owners    map[broker.Partition]*Consumer
}

// balance gives every partition to the member that should have it, unless the
// one that has it has a poll in hand. It reports whether anything has changed.
func (g *group) balance(topics map[string]*topic) (changed bool) {
	for p, should := range g.plan(topics) {
		is := g.owners[p]
		if is == should || is != nil && is.handing {
			continue
		}
		if is != nil {
			delete(is.next, p)
		}
		g.owners[p] = should
		should.next[p] = g.start(p, should, topics)
		changed = true
	}
	return changed
}

// plan spreads the partitions, in order, over those who want them.
func (g *group) plan(topics map[string]*topic) map[broker.Partition]*Consumer {
	out := make(map[broker.Partition]*Consumer)
	n := 0
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		var wanted []*Consumer
		for _, m := range g.members {
			if slices.Contains(m.sub.Topics, name) {
				wanted = append(wanted, m)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		for id := range topics[name].parts {
			out[broker.Partition{Topic: name, ID: int32(id)}] = wanted[n%len(wanted)]
			n++
		}
	}
	return out
}

// start is where a member begins with a partition.
func (g *group) start(p broker.Partition, m *Consumer, topics map[string]*topic) int64 {
	if offset, ok := g.committed[p]; ok {
		return offset
	}
	if m.sub.From == broker.Latest {
		g.committed[p] = int64(len(topics[p.Topic].parts[p.ID]))
		return g.committed[p]
	}
	return 0
}

func (g *group) committedOf(p broker.Partition) int64 {
	if offset, ok := g.committed[p]; ok {
		return offset
	}
	return -1
}

// of gives the partitions of a member.
func (g *group) of(m *Consumer) []broker.Partition {
	var out []broker.Partition
	for p, owner := range g.owners {
		if owner == m {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b broker.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// leave takes a member out, and its partitions from it.
func (g *group) leave(m *Consumer) {
	g.members = slices.DeleteFunc(g.members, func(o *Consumer) bool { return o == m })
	maps.DeleteFunc(g.owners, func(_ broker.Partition, o *Consumer) bool { return o == m })
}
