#include "seed/merkle.h"

#include <algorithm>
#include <bit>

namespace drseed::seed {

void MerkleTree::add(const Sha256Digest& segment_digest) {
  add_subtree(leaf(segment_digest), 0);
}

void MerkleTree::add_run(const Sha256Digest& segment_digest, std::uint64_t count) {
  std::vector<Sha256Digest> by_level;  // the hash of 2^level such leaves
  while (count > 0) {
    // The largest perfect subtree that begins here and is not too long.
    const auto level = std::min<unsigned>(std::countr_zero(leaves_), std::bit_width(count) - 1);
    while (by_level.size() <= level)
      by_level.push_back(by_level.empty() ? leaf(segment_digest) : node(by_level.back(), by_level.back()));
    add_subtree(by_level[level], level);
    count -= std::uint64_t{1} << level;
  }
}

void MerkleTree::add_subtree(Sha256Digest hash, unsigned level) {
  // As in binary addition: equal subtrees merge.
  for (std::uint64_t bits = leaves_ >> level; (bits & 1) != 0; bits >>= 1) {
    hash = node(peaks_.back(), hash);
    peaks_.pop_back();
  }
  peaks_.push_back(hash);
  leaves_ += std::uint64_t{1} << level;
}

Sha256Digest MerkleTree::leaf(const Sha256Digest& segment_digest) {
  constexpr std::uint8_t kLeaf = 0;
  hasher_.update({&kLeaf, 1});
  hasher_.update(segment_digest);
  return hasher_.finish();
}

Sha256Digest MerkleTree::node(const Sha256Digest& left, const Sha256Digest& right) {
  constexpr std::uint8_t kNode = 1;
  hasher_.update({&kNode, 1});
  hasher_.update(left);
  hasher_.update(right);
  return hasher_.finish();
}

Sha256Digest MerkleTree::root() {
  if (peaks_.empty()) return sha256({});
  Sha256Digest hash = peaks_.back();
  for (auto peak = peaks_.rbegin() + 1; peak != peaks_.rend(); ++peak) hash = node(*peak, hash);
  return hash;
}

SegmentMerkle::SegmentMerkle(std::uint32_t segment_bytes)
    : segment_bytes_(segment_bytes), whole_zero_digest_(sha256_of_zeros(segment_bytes)) {}

void SegmentMerkle::add_zeros(std::uint64_t length_bytes) {
  tree_.add_run(whole_zero_digest_, length_bytes / segment_bytes_);
  if (length_bytes % segment_bytes_ != 0) tree_.add(sha256_of_zeros(length_bytes % segment_bytes_));
}

Sha256Digest sha256_of_zeros(std::uint64_t length_bytes) {
  static const std::vector<std::uint8_t> zeros(64 << 10);
  Sha256 hasher;
  while (length_bytes > 0) {
    const auto now = std::min<std::uint64_t>(length_bytes, zeros.size());
    hasher.update({zeros.data(), static_cast<std::size_t>(now)});
    length_bytes -= now;
  }
  return hasher.finish();
}

}  // namespace drseed::seed
