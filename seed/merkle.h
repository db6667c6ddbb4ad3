#pragma once
// The Merkle tree hash of a list of segments, computed as they come, in memory that grows with the logarithm of their
// number.
//
// Source: RFC 6962 section 2.1, with SHA-256: a leaf's hash is SHA-256(0x00 || digest of the segment), a node's is
// SHA-256(0x01 || left || right), the root of an empty list is SHA-256 of nothing. The leaves are the SHA-256 digests
// of the plain segments, zeros included: the root names the disk's content, whatever the codec.

#include <cstdint>
#include <utility>
#include <vector>

#include "base/digest.h"

namespace drseed::seed {

class MerkleTree {
 public:
  void add(const Sha256Digest& segment_digest);
  // The same segment `count` times, in time that grows with the logarithm of count: a header may claim any size of
  // disk.
  void add_run(const Sha256Digest& segment_digest, std::uint64_t count);
  Sha256Digest root();  // of what was added so far; more may be added after

 private:
  Sha256Digest leaf(const Sha256Digest& segment_digest);
  Sha256Digest node(const Sha256Digest& left, const Sha256Digest& right);
  // A perfect subtree of 2^level leaves. Precondition: leaves_ is a multiple of 2^level.
  void add_subtree(Sha256Digest hash, unsigned level);

  Sha256 hasher_;
  std::uint64_t leaves_ = 0;
  std::vector<Sha256Digest> peaks_;  // roots of perfect subtrees, largest first: one per set bit of leaves_
};

// Adds segments given as data or as runs of zeros, which need a digest of a whole and of a last, short segment of
// zeros.
class SegmentMerkle {
 public:
  explicit SegmentMerkle(std::uint32_t segment_bytes);
  void add_data(const Sha256Digest& digest) { tree_.add(digest); }
  void add_zeros(std::uint64_t length_bytes);
  Sha256Digest root() { return tree_.root(); }

 private:
  const std::uint32_t segment_bytes_;
  Sha256Digest whole_zero_digest_;
  MerkleTree tree_;
};

// SHA-256 of that many zero bytes.
Sha256Digest sha256_of_zeros(std::uint64_t length_bytes);

}  // namespace drseed::seed
