/// @file
/// Counting the errors that ROOT reports in passing and goes on after.
#pragma once

#include "library.hpp"

#include <TError.h>

#include <cstddef>
#include <mutex>
#include <string>

namespace ttbar {

/// Counts the messages of level kError and above, and warnings of TBasket, which makes values up where it says that
/// it repairs them. It does so from its construction on, and keeps the first one. All messages go on to the handler
/// that was in place before. Any thread may report; but collectors are made and stopped in one thread, while no other
/// reports, the last one made being the first one stopped.
class ErrorCollector {
  public:
    ErrorCollector();
    ~ErrorCollector();
    ErrorCollector(const ErrorCollector&) = delete;
    ErrorCollector& operator=(const ErrorCollector&) = delete;

    /// Put the handler that was in place before back. What was collected stays. Does nothing the second time.
    void stop();

    /// @return number of these messages so far
    std::size_t count() const;

    /// @return the first of these messages with where it came from, in printable ASCII with '?' for all else;
    ///         empty if there is none
    std::string first() const;

  private:
    static void handle(int level, Bool_t abort, const char* location, const char* message);

    static ErrorCollector* current_; ///< the last one made that has not been stopped

    ErrorCollector* outer_;
    ErrorHandlerFunc_t previous_;
    bool stopped_ = false;
    mutable std::mutex mutex_;
    std::size_t count_ = 0;
    std::string first_;
};

} // namespace ttbar
