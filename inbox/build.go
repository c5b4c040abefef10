package inbox

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Build checks everything and gives the routes. Routed is what the program is
// known to get: each must have a handler, if need be through upcasters, or there
// must be a fallback. An empty Version asks for any handler of source and type.
//
// It reports every mistake at once: a router without a handler, two registrations
// of the same, names that are missing, chains of upcasters that form a cycle or
// lead to no handler, Go types that do not fit. What is routed is looked up when
// there are none; what is missing then is ErrNoHandler.
//
// A router may be built again, for another inbox.
func (r *Router) Build(routed ...Route) (*Routes, error) {
	r.built.Store(true)
	mistakes := slices.Clone(r.mistakes)
	if len(r.handlers) == 0 && r.fallback == nil {
		mistakes = append(mistakes, errors.New("there is no handler"))
	}
	for _, eventType := range slices.Sorted(maps.Keys(r.upcasters)) {
		mistakes = append(mistakes, r.checkChains(eventType)...)
	}
	if len(mistakes) > 0 { // and a cycle has no end to look for
		return nil, fmt.Errorf("router: %w", errors.Join(mistakes...))
	}
	routes := &Routes{table: r.table(), fallback: r.fallback}
	for _, way := range routed {
		if !routes.reach(way) {
			mistakes = append(mistakes, fmt.Errorf("routed here: %w", routes.unknown(way)))
		}
	}
	if len(mistakes) > 0 {
		return nil, fmt.Errorf("router: %w", errors.Join(mistakes...))
	}
	return routes, nil
}

// table has every handler, and the ends of all chains, by what they take.
func (r *Router) table() map[Route]route {
	table := make(map[Route]route, len(r.handlers))
	for to, h := range r.handlers {
		table[to] = route{handler: h}
	}
	for to := range r.handlers {
		for from := range r.upcasters[to.Type] {
			way := Route{to.Source, to.Type, from}
			if _, exact := r.handlers[way]; !exact {
				if found, ok := r.chain(way); ok {
					table[way] = found
				}
			}
		}
	}
	return table
}

// chain follows upcasters from a version to the first that is handled.
func (r *Router) chain(way Route) (route, bool) {
	var found route
	for {
		u, ok := r.upcasters[way.Type][way.Version]
		if !ok {
			return route{}, false
		}
		found.upcasters = append(found.upcasters, u)
		way.Version = u.to
		if found.handler, ok = r.handlers[way]; ok {
			return found, true
		}
	}
}

// reach tells whether what is routed here is handled. No version asks for any.
func (r *Routes) reach(way Route) bool {
	for other := range r.table {
		if way.Version == "" && other.Source == way.Source && other.Type == way.Type {
			return true
		}
	}
	_, err := r.route(&Stored{Meta: Meta{Source: way.Source, Type: way.Type, SchemaVersion: way.Version}})
	return err == nil
}

// checkChains finds what is wrong with the upcasters of a type, each mistake
// once, however many versions lead to it.
func (r *Router) checkChains(eventType string) (mistakes []error) {
	links := r.upcasters[eventType]
	for _, from := range slices.Sorted(maps.Keys(links)) {
		u := links[from]
		if cycle := cycleFrom(links, from); len(cycle) > 0 && from == slices.Min(cycle) {
			mistakes = append(mistakes, fmt.Errorf("upcasters of type %q form a cycle: %q", eventType, append(cycle, from)))
		}
		next, leads := links[u.to]
		if leads && !u.fits(next.takes) {
			mistakes = append(mistakes, fmt.Errorf("%s gives a %s, but the one from version %q takes a %s", u.what(eventType), u.gives, u.to, next.takes))
		}
		for _, way := range slices.SortedFunc(maps.Keys(r.handlers), Route.compare) {
			if way.Type != eventType || way.Version != u.to {
				continue
			}
			leads = true
			if h := r.handlers[way]; h.bind != nil && !u.fits(h.takes) {
				mistakes = append(mistakes, fmt.Errorf("%s gives a %s, but the handler for %s takes a %s", u.what(eventType), u.gives, way, h.takes))
			}
		}
		if !leads {
			mistakes = append(mistakes, fmt.Errorf("%s leads to no handler, and no further upcaster", u.what(eventType)))
		}
	}
	return mistakes
}

// cycleFrom gives the versions of the cycle that from is on, from it on; none if
// it is on none.
func cycleFrom(links map[string]upcaster, from string) []string {
	cycle := []string{from}
	for at := links[from].to; at != from; {
		u, ok := links[at]
		if !ok || slices.Contains(cycle, at) { // an end, or a cycle further on
			return nil
		}
		cycle = append(cycle, at)
		at = u.to
	}
	return cycle
}
