#include "seed/merkle.h"

#include <algorithm>

namespace drseed::seed {

void MerkleTree::add(const Sha256Digest& segment_digest) {
  constexpr std::uint8_t kLeaf = 0;
  hasher_.update({&kLeaf, 1});
  hasher_.update(segment_digest);
  Sha256Digest hash = hasher_.finish();
  // As in binary addition: equal subtrees merge.
  for (std::uint64_t bit = leaves_; (bit & 1) != 0; bit >>= 1) {
    hash = node(peaks_.back(), hash);
    peaks_.pop_back();
  }
  peaks_.push_back(hash);
  ++leaves_;
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
  for (; length_bytes >= segment_bytes_; length_bytes -= segment_bytes_) tree_.add(whole_zero_digest_);
  if (length_bytes > 0) tree_.add(sha256_of_zeros(length_bytes));
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
