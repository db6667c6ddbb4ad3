#pragma once
// The bytes that a node's engine has names for: from a client, a frame or a read for a peer until it releases them.

#include <unordered_map>

#include "replicator/core/types.h"
#include "tests/sim/tags.h"

namespace drseed::sim {

class PayloadTable {
 public:
  replicator::Payload add(Bytes bytes) {
    bytes_.emplace(++last_, std::move(bytes));
    return last_;
  }
  // Nothing: never given, or released.
  Bytes find(replicator::Payload payload) const {
    const auto found = bytes_.find(payload);
    return found == bytes_.end() ? nullptr : found->second;
  }
  bool release(replicator::Payload payload) { return bytes_.erase(payload) == 1; }
  std::size_t size() const { return bytes_.size(); }
  void clear() { bytes_.clear(); }

 private:
  replicator::Payload last_ = 0;
  std::unordered_map<replicator::Payload, Bytes> bytes_;
};

}  // namespace drseed::sim
