/// The library, wherever it is. `root -l load.C` is a session with the helpers. A macro of yours, anywhere, needs one
/// line to load the library with its headers, and ACLiC compiles it as well (`.L yours.C+`):
///
///     #include <../../ttbar/include/ttbar/ttbar.hpp> // where pip has installed both ROOT and ttbar
///     #include <ttbar/ttbar.hpp>                     // where both are in one prefix, or ROOT_INCLUDE_PATH names it
///
/// or the path that `ttbar config --include` prints.
#pragma once
#if __has_include(<ttbar/ttbar.hpp>)
#include <ttbar/ttbar.hpp>
#elif __has_include(<../../ttbar/include/ttbar/ttbar.hpp>)
#include <../../ttbar/include/ttbar/ttbar.hpp>
#elif __has_include("../../../include/ttbar/ttbar.hpp") // installed elsewhere than ROOT
#include "../../../include/ttbar/ttbar.hpp"
#else // in a checkout
#include "../cpp/include/ttbar/ttbar.hpp"
#endif

#include <iostream>

void load() {
    std::cout << "ttbar is loaded: ttbar:: and the tab key list its helpers\n";
}
