#pragma once
// Lets a long command end cleanly on SIGINT and SIGTERM: it stops at the next step, leaving what --resume continues.

#include "base/result.h"

namespace drseed {

// Installs the handlers. A third signal ends the process at once.
void catch_interrupts();

// kInterrupted once a signal came.
Result<> check_interrupt();

}  // namespace drseed
