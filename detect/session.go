package detect

import "midwatch/store"

// session is a store that a run of detectors asks, with what several of them
// need and one has found out. It lives as long as the run, which asks one
// detector after the other.
type session struct {
	store.Querier
	memo map[string]any
}

// Explain has the store say what to do about an error; see [store.Each].
func (s *session) Explain(err error) error {
	if x, ok := s.Querier.(interface{ Explain(error) error }); ok {
		return x.Explain(err)
	}
	return err
}

// once answers a question that several detectors of a run share. Outside of a
// run it asks each time.
func once[T any](q store.Querier, name string, ask func() (T, error)) (T, error) {
	s, ok := q.(*session)
	if !ok {
		return ask()
	}
	if v, ok := s.memo[name].(T); ok {
		return v, nil
	}
	v, err := ask()
	if err == nil {
		s.memo[name] = v
	}
	return v, err
}
