#include "block/io_queue.h"

#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "base/file.h"
#include "base/log.h"
#include "block/io_queue_impl.h"

namespace drseed::block {
namespace {

std::string_view likely_cause(int system_errno) {
  if (system_errno == ENOMEM) return "the limit on locked memory (ulimit -l) is too low";
  if (system_errno == EMFILE || system_errno == ENFILE) return "the limit on open files (ulimit -n) is too low";
  const auto disabled = read_file("/proc/sys/kernel/io_uring_disabled", 64);
  if (disabled && !disabled->starts_with('0')) return "the sysctl kernel.io_uring_disabled forbids it";
  if (system_errno == ENOSYS) return "the kernel has none, or a container's seccomp profile hides it";
  if (system_errno == EPERM || system_errno == EACCES) return "a container's seccomp profile forbids it";
  return "the kernel is too old for it";
}

bool threads_are_forced() {
  const char* engine = std::getenv("DRSEED_IO_ENGINE");
  return engine != nullptr && std::string_view(engine) == "threads";
}

void warn_once(const Error& error) {
  static std::once_flag warned;
  std::call_once(warned, [&error] {
    log::warn("{}; disks are read and written by a pool of threads instead, which is slower", error.message());
  });
}

}  // namespace

Result<std::unique_ptr<IoQueue>> make_io_queue(Device& device, std::size_t depth, IoEngine engine) {
  assert(depth > 0 && depth <= kIoDepthMax);
  if (engine == IoEngine::kThreads || (engine == IoEngine::kAuto && threads_are_forced())) {
    return make_thread_queue(device, depth);
  }
  auto queue = make_uring_queue(device, depth);
  if (queue) return queue;
  Error error = std::move(queue).error();
  error.context += fmt::format(" (likely cause: {})", likely_cause(error.system_errno));
  if (engine == IoEngine::kUring) return tl::unexpected(std::move(error));
  warn_once(error);
  return make_thread_queue(device, depth);
}

}  // namespace drseed::block
