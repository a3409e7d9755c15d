package ocifs

// Stats is what the tree has in hand.
type Stats struct {
	Uploads    int   // Puts that have not come to their end
	SpoolBytes int64 // in files, of content that is not acknowledged or waits to be kept
}

// Stats tells it as it is now.
func (f *FS) Stats() Stats {
	return Stats{Uploads: int(f.uploads.Load()), SpoolBytes: f.spoolRoom.stored.Load()}
}
