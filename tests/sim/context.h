#pragma once
// What all parts of a simulated world share: chance, time, the trace, and the first violation found.

#include <fmt/format.h>

#include <optional>
#include <string>

#include "tests/sim/parameters.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/stats.h"
#include "tests/sim/trace.h"

namespace drseed::sim {

struct Violation {
  std::string checker;
  std::string text;
};

struct Context {
  Random random;
  Parameters parameters;
  Scheduler scheduler;
  Trace trace;
  Stats& stats;
  std::optional<Violation> violation;

  Context(const Options& options, Stats& all)
      : random(options.seed * 0x2545f4914f6cdd1d + 1), parameters(draw_parameters(options, random)), stats(all) {
    trace.show_all(options.show_trace);
  }
  // An instant of its own.
  Serial tick_serial() { return ++serial_; }
  // The first one counts; the history ends with it.
  template <typename... Args>
  void violate(std::string_view checker, fmt::format_string<Args...> text, Args&&... args) {
    if (!violation) violation = Violation{std::string(checker), fmt::format(text, std::forward<Args>(args)...)};
  }

 private:
  Serial serial_ = 1;  // the initial content was acknowledged at 1
};

}  // namespace drseed::sim
