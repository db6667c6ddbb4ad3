#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <cstdlib>
#include <memory>

#include "base/progress.h"

namespace drseed::log {
namespace {

// Takes the progress line off the terminal before a message, so that the two never share a line.
class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    progress_line_clear();
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
  void flush_() override { std::fflush(stderr); }
};

// A note needs no "info:" in front; a warning and an error say what they are.
class LevelFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& text) override {
    if (message.level == spdlog::level::info) return;
    const auto name = spdlog::level::to_string_view(message.level);
    text.append(name.data(), name.data() + name.size());
    text.append(std::string_view(": "));
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<LevelFlag>(); }
};

}  // namespace

void start(const std::string& program) {
  auto logger = std::make_shared<spdlog::logger>(program, std::make_shared<StderrSink>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<LevelFlag>('*').set_pattern("%n: %*%v");
  logger->set_formatter(std::move(formatter));
  const char* level = std::getenv("DRSEED_LOG");
  spdlog::set_default_logger(logger);
  if (level == nullptr) return;
  // spdlog takes a word that it does not know for "off".
  const auto chosen = spdlog::level::from_str(level);
  if (chosen == spdlog::level::off) {
    warn("DRSEED_LOG={} is no level; use debug, info, warning or error", level);
  } else {
    logger->set_level(chosen);
  }
}

}  // namespace drseed::log
