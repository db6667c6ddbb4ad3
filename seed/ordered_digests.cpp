#include "seed/ordered_digests.h"

#include <algorithm>

#include "base/hex.h"

namespace drseed::seed {
namespace {

void update_zeros(Hasher& hasher, std::uint64_t length) {
  static const std::vector<std::uint8_t> zeros(1 << 20);
  while (length > 0) {
    const auto now = std::min<std::uint64_t>(length, zeros.size());
    hasher.update(Bytes(zeros).first(now));
    length -= now;
  }
}

}  // namespace

OrderedDigests::OrderedDigests(const std::vector<DigestKind>& kinds) {
  for (auto kind : kinds) {
    workers_.push_back(std::make_unique<Worker>(kind));
    auto* worker = workers_.back().get();
    worker->thread = std::thread([worker] {
      while (auto piece = worker->queue.pop()) {
        worker->hasher.update(piece->bytes);
        update_zeros(worker->hasher, piece->zeros);
        piece.reset();
        worker->settled.fetch_add(1);
        worker->settled.notify_all();
      }
    });
  }
}

OrderedDigests::~OrderedDigests() {
  for (auto& worker : workers_) {
    worker->queue.stop();
    if (worker->thread.joinable()) worker->thread.join();
  }
}

void OrderedDigests::add(const Piece& piece) {
  ++added_;
  for (auto& worker : workers_) (void)worker->queue.push(piece);
}

void OrderedDigests::wait_idle() {
  for (auto& worker : workers_) {
    for (auto settled = worker->settled.load(); settled != added_; settled = worker->settled.load())
      worker->settled.wait(settled);
  }
}

std::map<DigestKind, std::string> OrderedDigests::finish() {
  std::map<DigestKind, std::string> digests;
  for (auto& worker : workers_) {
    worker->queue.finish();
    worker->thread.join();
    digests[worker->hasher.kind()] = to_hex(worker->hasher.finish());
  }
  return digests;
}

}  // namespace drseed::seed
