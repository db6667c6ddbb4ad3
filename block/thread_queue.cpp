// IoQueue by a pool of threads, each of which does one request at a time with the calls that Device uses.
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cassert>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "block/io_queue_impl.h"
#include "block/transfer.h"

namespace drseed::block {
namespace {

constexpr std::size_t kThreadsMax = 8;  // more only queue up in the kernel

// New threads inherit the mask: signals go to the program's own threads, and no request is interrupted.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

class ThreadQueue : public IoQueue {
 public:
  ThreadQueue(Device& device, std::size_t depth) : device_(device), depth_(depth) {}
  ~ThreadQueue() override;
  // As many threads as the system gives; an error if it gives none.
  Result<> start();

  void submit(const IoRequest& request) override;
  IoCompletion wait() override;
  std::size_t in_flight() const override { return in_flight_; }
  std::size_t depth() const override { return depth_; }
  std::string_view engine_name() const override { return "threads"; }

 private:
  void work();
  int perform(const IoRequest& request);

  Device& device_;
  const std::size_t depth_;
  std::size_t in_flight_ = 0;  // of the owner's thread only
  std::mutex mutex_;
  std::condition_variable submitted_, completed_;
  std::deque<IoRequest> requests_;  // requests_ and completions_ hold at most depth_ together
  std::deque<IoCompletion> completions_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

Result<> ThreadQueue::start() {
  const SignalsBlocked blocked;
  while (threads_.size() < std::min(depth_, kThreadsMax)) {
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      if (!threads_.empty()) break;
      return fail_errno(error.code().value(), "{}: no thread can be started for its reads and writes", device_.path());
    }
  }
  return {};
}

ThreadQueue::~ThreadQueue() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    submitted_.notify_all();
  }
  for (auto& thread : threads_) thread.join();
}

void ThreadQueue::submit(const IoRequest& request) {
  assert(in_flight_ < depth_);
  ++in_flight_;
  std::lock_guard lock(mutex_);
  requests_.push_back(request);
  submitted_.notify_one();
}

IoCompletion ThreadQueue::wait() {
  assert(in_flight_ > 0);
  std::unique_lock lock(mutex_);
  completed_.wait(lock, [this] { return !completions_.empty(); });
  const IoCompletion completion = completions_.front();
  completions_.pop_front();
  --in_flight_;
  return completion;
}

void ThreadQueue::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    submitted_.wait(lock, [this] { return stopping_ || !requests_.empty(); });
    if (requests_.empty()) return;  // stopping, and what was in flight is done
    const IoRequest request = requests_.front();
    requests_.pop_front();
    lock.unlock();
    const int failed = perform(request);
    lock.lock();
    completions_.push_back({request.tag, failed});
    completed_.notify_one();
  }
}

int ThreadQueue::perform(const IoRequest& request) {
  const Transfer transfer{request.data, request.offset_bytes, request.length_bytes};
  std::uint64_t done = 0;
  switch (request.kind) {
    case IoKind::kRead:
      return read_whole(device_, transfer, done);
    case IoKind::kWrite:
      if (const int refused = write_refused(device_, request.offset_bytes, request.length_bytes)) return refused;
      return write_whole(device_, transfer, done);
    case IoKind::kFlush:
      if (const auto flushed = device_.flush(); !flushed) return flushed.error().system_errno;
      return 0;
  }
  assert(false);
  return EINVAL;
}

}  // namespace

Result<std::unique_ptr<IoQueue>> make_thread_queue(Device& device, std::size_t depth) {
  auto queue = std::make_unique<ThreadQueue>(device, depth);
  DRSEED_TRY(queue->start());
  return queue;
}

}  // namespace drseed::block
