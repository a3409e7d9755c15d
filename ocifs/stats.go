package ocifs

// Stats is what the tree has in hand.
type Stats struct {
	Uploads    int   // Puts that have not come to their end
	SpoolBytes int64 // in files, of content that is not acknowledged or waits to be kept
}

// Stats tells it as it is now, of all trees of the drive.
func (f *FS) Stats() Stats { return f.common.stats() }

func (c *common) stats() Stats {
	return Stats{Uploads: int(c.uploads.Load()), SpoolBytes: c.spoolRoom.stored.Load()}
}
