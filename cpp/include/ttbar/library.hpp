/// @file
/// The compiled library, which ROOT's interpreter loads with the first of its headers. It would end in a crash where
/// one of its functions is called before.
#pragma once

#ifdef __CLING__
#if __has_include("../../lib/libttbar")
#include "../../lib/libttbar"
#elif __has_include("../../lib64/libttbar")
#include "../../lib64/libttbar"
#elif __has_include("../../../build/libttbar") // in a checkout
#include "../../../build/libttbar"
#endif
#endif
