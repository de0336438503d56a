package story

import (
	"slices"
	"sync"
)

// Reader keeps what a Consumer has to tell, for consumers that are called back.
type Reader struct {
	mutex     sync.Mutex
	owned     map[int32]bool
	records   []Record
	disturbed int
	failure   error
}

func (r *Reader) locked(change func()) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	change()
}

// Assign adds partitions, or replaces all.
func (r *Reader) Assign(replace bool, partitions []int32) {
	r.locked(func() {
		r.disturbed++
		if replace || r.owned == nil {
			r.owned = map[int32]bool{}
		}
		for _, p := range partitions {
			r.owned[p] = true
		}
	})
}

// Revoke takes partitions away.
func (r *Reader) Revoke(partitions []int32) {
	r.locked(func() {
		for _, p := range partitions {
			delete(r.owned, p)
		}
	})
}

// Add takes a record that was read.
func (r *Reader) Add(record Record) { r.locked(func() { r.records = append(r.records, record) }) }

// Fail says why this consumer reads no longer; the first reason stays.
func (r *Reader) Fail(err error) {
	r.locked(func() {
		if r.failure == nil {
			r.failure = err
		}
	})
}

func (r *Reader) Owned() (owned []int32) {
	r.locked(func() {
		for p := range r.owned {
			owned = append(owned, p)
		}
	})
	slices.Sort(owned)
	return owned
}

func (r *Reader) Read() (records []Record) {
	r.locked(func() { records = slices.Clone(r.records) })
	return records
}

func (r *Reader) Disturbed() (disturbed int) {
	r.locked(func() { disturbed = r.disturbed })
	return disturbed
}

func (r *Reader) Failure() (failure error) {
	r.locked(func() { failure = r.failure })
	return failure
}
