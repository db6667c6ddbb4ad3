#include "base/interrupt.h"

#include <unistd.h>

#include <csignal>

#include "base/exit_status.h"

namespace drseed {
namespace {

// timeout(1) signals the process and then its group, so that two may come for one request.
constexpr std::sig_atomic_t kImpatientSignals = 3;

volatile std::sig_atomic_t interrupt_signal = 0;
volatile std::sig_atomic_t interrupt_count = 0;

void on_signal(int number) {
  interrupt_signal = number;
  interrupt_count = interrupt_count + 1;
  if (interrupt_count >= kImpatientSignals) _exit(kExitEnvironment);
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A reader that closes the pipe gives EPIPE, which becomes an error with a name.
  std::signal(SIGPIPE, SIG_IGN);
}

Result<> check_interrupt() {
  if (interrupt_signal == 0) return {};
  return fail(ErrorCode::kInterrupted, "interrupted by signal {}", static_cast<int>(interrupt_signal));
}

}  // namespace drseed
