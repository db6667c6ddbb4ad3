// IoQueue by io_uring: one entry of the ring for each request, resubmitted until the request is whole.
//
// Flushes go one at a time, through an open file description of the queue's own: the kernel tells a write-back error
// once to each description, so of two flushes under way at once, or one here and one in Device::flush, the second would
// hear of success.

#include <fcntl.h>
#include <liburing.h>

#include <cassert>
#include <cerrno>
#include <deque>
#include <vector>

#include "block/io_queue_impl.h"
#include "block/transfer.h"

namespace drseed::block {
namespace {

struct Slot {
  IoRequest request;
  Piece piece;             // what the ring works on
  std::uint64_t done = 0;  // bytes of the request that are through
  Transfer transfer() const { return {request.data, request.offset_bytes, request.length_bytes}; }
};

bool is_to_repeat(int result) {
  return result == -EAGAIN || result == -EINTR;
}

class UringQueue : public IoQueue {
 public:
  UringQueue(Device& device, std::size_t depth) : device_(device), slots_(depth) {}
  ~UringQueue() override;
  Result<> start();

  void submit(const IoRequest& request) override;
  IoCompletion wait() override;
  std::size_t in_flight() const override { return in_flight_; }
  std::size_t depth() const override { return slots_.size(); }
  std::string_view engine_name() const override { return "io_uring"; }

 private:
  bool has_operations();
  void issue(Slot& slot);
  void issue_next_flush();
  void hand_over(io_uring_sqe* sqe, Slot& slot);
  void reap();
  void advance(Slot& slot, int result);
  void end_flush(Slot& slot, int result);
  void finish(Slot& slot, int system_errno);

  Device& device_;
  UniqueFd own_flush_fd_;
  io_uring ring_{};
  bool started_ = false;
  std::vector<Slot> slots_;
  std::vector<Slot*> free_;
  std::size_t in_flight_ = 0;  // submitted and not yet returned by wait()
  std::size_t in_ring_ = 0;
  std::deque<IoCompletion> completions_;
  std::deque<Slot*> flushes_;  // the first is in the ring, the others wait for it
};

Result<> UringQueue::start() {
  const int failed = io_uring_queue_init(static_cast<unsigned>(slots_.size()), &ring_, 0);
  if (failed < 0) return fail_errno(-failed, "io_uring is not to be had");
  started_ = true;
  if (!has_operations()) return fail_errno(EOPNOTSUPP, "io_uring lacks reading, writing or flushing");
  own_flush_fd_ = reopen(device_, O_RDONLY);
  free_.reserve(slots_.size());
  for (auto& slot : slots_) free_.push_back(&slot);
  return {};
}

bool UringQueue::has_operations() {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  if (probe == nullptr) return false;
  const bool has_all = io_uring_opcode_supported(probe, IORING_OP_READ) != 0 &&
                       io_uring_opcode_supported(probe, IORING_OP_WRITE) != 0 &&
                       io_uring_opcode_supported(probe, IORING_OP_FSYNC) != 0;
  io_uring_free_probe(probe);
  return has_all;
}

UringQueue::~UringQueue() {
  if (!started_) return;
  while (in_ring_ > 0) reap();
  io_uring_queue_exit(&ring_);
}

void UringQueue::submit(const IoRequest& request) {
  assert(in_flight_ < depth());
  ++in_flight_;
  Slot& slot = *free_.back();
  free_.pop_back();
  slot = Slot{.request = request, .piece = {}, .done = 0};
  switch (request.kind) {
    case IoKind::kRead:
      slot.done = read_from_page_cache(device_, slot.transfer());
      return issue(slot);
    case IoKind::kWrite:
      if (const int refused = write_refused(device_, request.offset_bytes, request.length_bytes)) {
        return finish(slot, refused);
      }
      return issue(slot);
    case IoKind::kFlush:
      flushes_.push_back(&slot);
      if (flushes_.size() == 1) issue_next_flush();
      return;
  }
}

IoCompletion UringQueue::wait() {
  assert(in_flight_ > 0);
  while (completions_.empty()) reap();
  const IoCompletion completion = completions_.front();
  completions_.pop_front();
  --in_flight_;
  return completion;
}

// Puts what is left of a read or write into the ring, or finishes it.
void UringQueue::issue(Slot& slot) {
  if (slot.done >= slot.request.length_bytes) return finish(slot, 0);
  slot.piece = next_piece(device_, slot.transfer(), slot.done);
  std::uint8_t* data = slot.request.data + slot.piece.begin;
  const auto length = static_cast<unsigned>(slot.piece.length_bytes);
  const std::uint64_t offset = slot.request.offset_bytes + slot.piece.begin;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  assert(sqe != nullptr);  // the ring has an entry for each slot
  if (slot.request.kind == IoKind::kRead) {
    io_uring_prep_read(sqe, slot.piece.fd, data, length, offset);
  } else {
    io_uring_prep_write(sqe, slot.piece.fd, data, length, offset);
  }
  hand_over(sqe, slot);
}

// Once a flush has failed, the ones behind it fail with it.
void UringQueue::issue_next_flush() {
  const int failed = device_.flush_errno();
  if (failed != 0) {
    for (Slot* slot : flushes_) finish(*slot, failed);
    flushes_.clear();
  }
  if (flushes_.empty()) return;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  assert(sqe != nullptr);
  io_uring_prep_fsync(sqe, own_flush_fd_ ? own_flush_fd_.get() : device_.buffered_fd(), IORING_FSYNC_DATASYNC);
  hand_over(sqe, *flushes_.front());
}

void UringQueue::hand_over(io_uring_sqe* sqe, Slot& slot) {
  io_uring_sqe_set_data(sqe, &slot);
  ++in_ring_;
  // Where the kernel is short of something for now, the entry stays queued and reap() submits it.
  const int submitted = io_uring_submit(&ring_);
  assert(submitted >= 0 || is_to_repeat(submitted) || submitted == -EBUSY || submitted == -ENOMEM);
}

// Waits for one answer of the ring and acts on it.
void UringQueue::reap() {
  assert(in_ring_ > 0);
  io_uring_cqe* cqe = nullptr;
  while (io_uring_peek_cqe(&ring_, &cqe) != 0) {
    const int submitted = io_uring_submit_and_wait(&ring_, 1);
    assert(submitted >= 0 || is_to_repeat(submitted) || submitted == -EBUSY || submitted == -ENOMEM);
  }
  auto& slot = *static_cast<Slot*>(io_uring_cqe_get_data(cqe));
  const int result = cqe->res;
  io_uring_cqe_seen(&ring_, cqe);
  --in_ring_;
  if (slot.request.kind == IoKind::kFlush) return end_flush(slot, result);
  advance(slot, result);
}

void UringQueue::advance(Slot& slot, int result) {
  if (is_to_repeat(result)) return issue(slot);
  if (result < 0) return finish(slot, -result);
  const std::uint64_t reached = slot.piece.begin + static_cast<std::uint64_t>(result);
  if (reached <= slot.done) return finish(slot, slot.request.kind == IoKind::kRead ? ENODATA : EIO);
  slot.done = reached;
  issue(slot);
}

void UringQueue::end_flush(Slot& slot, int result) {
  assert(flushes_.front() == &slot);
  if (result < 0) device_.fail_flush(-result);
  flushes_.pop_front();
  finish(slot, device_.flush_errno());
  issue_next_flush();
}

void UringQueue::finish(Slot& slot, int system_errno) {
  completions_.push_back({slot.request.tag, system_errno});
  free_.push_back(&slot);
}

}  // namespace

Result<std::unique_ptr<IoQueue>> make_uring_queue(Device& device, std::size_t depth) {
  auto queue = std::make_unique<UringQueue>(device, depth);
  DRSEED_TRY(queue->start());
  return queue;
}

}  // namespace drseed::block
