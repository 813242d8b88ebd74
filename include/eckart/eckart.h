/** Everything eckart offers. */
#ifndef ECKART_ECKART_H
#define ECKART_ECKART_H

#include "eckart/adapter.h"
#include "eckart/als.h"
#include "eckart/array.h"
#include "eckart/batch.h"
#include "eckart/bench.h"
#include "eckart/context.h"
#include "eckart/decompose.h"
#include "eckart/export.h"
#include "eckart/factored.h"
#include "eckart/file.h"
#include "eckart/machine.h"
#include "eckart/model.h"
#include "eckart/multilinear.h"
#include "eckart/operator.h"
#include "eckart/report.h"
#include "eckart/runtime.h"
#include "eckart/sparse.h"
#include "eckart/stage.h"
#include "eckart/status.h"
#include "eckart/svd.h"

#endif
