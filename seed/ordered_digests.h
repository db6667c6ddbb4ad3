#pragma once
// Digests over a whole disk, each in a thread of its own, from segments that one thread hands over in order.

#include <atomic>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/digest.h"

namespace drseed::seed {

class OrderedDigests {
 public:
  // A piece of the disk whose bytes stay as long as `owner` does; `zeros` more bytes of zero follow.
  struct Piece {
    std::shared_ptr<void> owner;
    Bytes bytes;
    std::uint64_t zeros = 0;
  };
  static constexpr std::size_t kQueueLength = 2;  // pieces that wait for each digest

  explicit OrderedDigests(const std::vector<DigestKind>& kinds);
  ~OrderedDigests();

  bool empty() const { return workers_.empty(); }
  void add(const Piece& piece);
  // Waits until no piece is held any more, so that its owner's pool can go.
  void wait_idle();
  // After the last piece. In hexadecimal, by kind.
  std::map<DigestKind, std::string> finish();

 private:
  struct Worker {
    explicit Worker(DigestKind kind) : hasher(kind), queue(kQueueLength) {}
    Hasher hasher;
    BoundedQueue<Piece> queue;
    std::atomic<std::uint64_t> settled{0};
    std::thread thread;
  };
  std::uint64_t added_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace drseed::seed
