package cache

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// blockBytes is the unit of what is fetched, kept and found damaged. One of 1 MiB costs a range read of 64 KiB no more
// than the round trip that it waits for anyhow, and a sum for each is 4 KiB of map per GiB.
const blockBytes = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is a block's sum. Zero stands for a block that is not there, so that a sum of zero counts as one.
func checksum(block []byte) uint32 { return max(1, crc32.Checksum(block, castagnoli)) }

// A map file is a head of sumsMagic and the blob's size, and then a sum for each block, all little endian. A sum is
// written after its block. No order on the disk is asked for: a block that is not there does not have its sum.
const (
	sumsMagic = "ocidav1\n"
	sumsHead  = int64(len(sumsMagic) + 8)
)

var errSums = errors.New("the map of blocks is damaged")

func blocksOf(size int64) int { return int((size + blockBytes - 1) / blockBytes) }

func sumOffset(block int) int64 { return sumsHead + 4*int64(block) }

func encodeSum(sum uint32) []byte { return binary.LittleEndian.AppendUint32(nil, sum) }

func encodeSums(size int64, sums []uint32) []byte {
	b := binary.LittleEndian.AppendUint64([]byte(sumsMagic), uint64(size))
	for _, s := range sums {
		b = binary.LittleEndian.AppendUint32(b, s)
	}
	return b
}

// decodeSums reads the map file of a blob of that size.
func decodeSums(b []byte, size int64) ([]uint32, error) {
	n := blocksOf(size)
	if int64(len(b)) != sumOffset(n) || string(b[:len(sumsMagic)]) != sumsMagic ||
		binary.LittleEndian.Uint64(b[len(sumsMagic):]) != uint64(size) {
		return nil, errSums
	}
	sums := make([]uint32, n)
	for i := range sums {
		sums[i] = binary.LittleEndian.Uint32(b[sumOffset(i):])
	}
	return sums, nil
}
