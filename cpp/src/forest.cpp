#include "ttbar/forest.hpp"
