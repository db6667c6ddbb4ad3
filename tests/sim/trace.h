#pragma once
// What happened, as a hash over everything and a ring of the last events. Text is made only when it is shown.

#include <array>
#include <cstdint>
#include <string>

#include "replicator/core/events.h"
#include "tests/sim/tags.h"

namespace drseed::sim {

class Trace {
 public:
  struct Line {
    Time at = 0;
    std::uint8_t node = 0;
    const char* what = "";  // fmt text of a, b, c, d
    std::uint64_t a = 0, b = 0, c = 0, d = 0;
    std::string text;
  };
  static constexpr std::size_t kKept = 64;
  static constexpr std::uint8_t kNobody = 255;

  void show_all(bool shown) { shown_ = shown; }
  void set_time(Time now) { now_ = now; }
  // `what` is a literal: a fmt text with at most four numbers.
  void note(std::uint8_t node, const char* what, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
            std::uint64_t d = 0);
  void note_text(std::uint8_t node, const char* what, const std::string& text, std::uint64_t a = 0);
  void event(std::uint8_t node, const replicator::Event& event);
  void action(std::uint8_t node, const replicator::Action& action);

  std::uint64_t hash() const { return hash_; }
  std::string last_lines() const;

 private:
  Line& next(std::uint8_t node, const char* what);
  void finish(const Line& line);
  void mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x9ddfea08eb382d69, hash_ ^= hash_ >> 29; }
  void frame(std::uint8_t node, const char* what, std::uint64_t peer, const replicator::Frame& frame);

  bool shown_ = false;
  Time now_ = 0;
  std::uint64_t hash_ = 0x6472736565640000;
  std::uint64_t lines_ = 0;
  std::array<Line, kKept> ring_;
};

std::string_view name_of(replicator::FrameType type);

}  // namespace drseed::sim
