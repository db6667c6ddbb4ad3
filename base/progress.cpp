#include "base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "base/size_text.h"

namespace drseed {
namespace {

constexpr std::chrono::milliseconds kRedraw{500};

// One terminal, one line: shared by Progress and the log.
std::mutex line_mutex;
bool line_drawn = false;

void draw(const std::string& text) {
  std::lock_guard lock(line_mutex);
  fmt::print(stderr, "\r{}\x1b[K", text);
  std::fflush(stderr);
  line_drawn = true;
}

}  // namespace

void progress_line_clear() {
  std::lock_guard lock(line_mutex);
  if (!line_drawn) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  line_drawn = false;
}

Progress::Progress(std::string verb, std::uint64_t total_bytes, bool shown)
    : verb_(std::move(verb)), total_bytes_(total_bytes), start_(std::chrono::steady_clock::now()) {
  if (shown && isatty(STDERR_FILENO) == 1) thread_ = std::thread([this] { run(); });
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
  progress_line_clear();
}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

std::string Progress::line() const {
  const auto done = done_bytes();
  const auto earlier = earlier_bytes_.load();
  const double rate = static_cast<double>(done > earlier ? done - earlier : 0) / std::max(seconds(), 0.001);
  if (total_bytes_ == 0) {
    return fmt::format("{} {}, {}, {}", verb_, format_size(done), format_rate(rate), format_duration(seconds()));
  }
  const auto left = total_bytes_ > done ? total_bytes_ - done : 0;
  const auto eta = rate >= 1 ? format_duration(static_cast<double>(left) / rate) : std::string("?");
  return fmt::format("{} {} of {} ({:.1f} %), {}, ETA {}", verb_, format_size(done), format_size(total_bytes_),
                     100.0 * static_cast<double>(done) / static_cast<double>(total_bytes_), format_rate(rate), eta);
}

void Progress::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    draw(line());
    wake_.wait_for(lock, kRedraw, [this] { return stop_; });
  }
}

}  // namespace drseed
