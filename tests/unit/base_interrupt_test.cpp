// base/interrupt, each test in a child process: what a signal leaves behind is for good.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/exit_status.h"
#include "base/interrupt.h"
#include "base/rate_limit.h"

namespace drseed {
namespace {

using ::testing::ExitedWithCode;
using ::testing::KilledBySignal;

constexpr int kNotInterrupted = 99;

// As a command does at its next step.
[[noreturn]] void exit_as_checked() {
  const auto checked = check_interrupt();
  if (checked) std::_Exit(kNotInterrupted);
  std::fprintf(stderr, "%s\n", checked.error().message().c_str());
  std::_Exit(checked.error().code == ErrorCode::kInterrupted ? exit_status_of(checked.error().code) : 1);
}

TEST(InterruptDeathTest, WithoutASignalNothingIsInterrupted) {
  const auto check = [] {
    catch_interrupts();
    exit_as_checked();
  };
  EXPECT_EXIT(check(), ExitedWithCode(kNotInterrupted), "");
}

TEST(InterruptDeathTest, CaughtSignalInterruptsTheNextStepAndIsNamed) {
  for (const int number : {SIGINT, SIGTERM}) {
    const auto interrupt = [number] {
      catch_interrupts();
      std::raise(number);
      exit_as_checked();
    };
    EXPECT_EXIT(interrupt(), ExitedWithCode(3), "interrupted by signal " + std::to_string(number));
  }
}

TEST(InterruptDeathTest, SignalEndsTheProcessWhereItIsNotCaught) {
  const auto interrupt = [] {
    std::raise(SIGTERM);
    exit_as_checked();
  };
  EXPECT_EXIT(interrupt(), KilledBySignal(SIGTERM), "");
}

TEST(InterruptDeathTest, WriteIntoAClosedPipeIsAnErrorNotAnEnd) {
  const auto write_into_closed = [] {
    catch_interrupts();
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) std::_Exit(1);
    close(ends[0]);
    std::_Exit(write(ends[1], "x", 1) == -1 && errno == EPIPE ? 0 : 1);
  };
  EXPECT_EXIT(write_into_closed(), ExitedWithCode(0), "");
}

TEST(InterruptDeathTest, RateLimitDoesNotHoldAnInterruptedCommandUp) {
  const auto wait_for_days = [] {
    alarm(20);
    catch_interrupts();
    std::raise(SIGTERM);
    RateLimit(1).wait_for(1 << 20);
    exit_as_checked();
  };
  EXPECT_EXIT(wait_for_days(), ExitedWithCode(3), "");
}

}  // namespace
}  // namespace drseed
