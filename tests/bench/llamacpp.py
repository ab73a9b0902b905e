"""Prefill and decode rates of llama.cpp, for `cargo bench -- decoder --llama-cpp PYTHON`.

Takes a model, a JSON file with the ids of the tokens to read, and a number of threads; with a fourth argument it writes the
model requantized to Q8_0 there first. Prints lines of JSON; between "ready" and the next line of its input it waits, so
that both sides can be measured in turns. The package is llama-cpp-python.
"""

import ctypes
import json
import os
import sys
import time

import llama_cpp

CONTEXT = 256
DECODED = 64


def requantized(source, target):
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = 7  # mostly Q8_0
    parameters.allow_requantize = True
    failed = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters))
    if failed:
        sys.exit("cannot requantize " + source)
    return target


def prefill(model, tokens):
    model.reset()
    begun = time.perf_counter()
    model.eval(tokens)
    return len(tokens) / (time.perf_counter() - begun)


def decode(model, tokens, most_seconds):
    model.reset()
    model.eval(tokens[:CONTEXT])
    begun = time.perf_counter()
    done = 0
    while done < DECODED and time.perf_counter() - begun < most_seconds:
        model.eval([model.sample(temp=0.0)])
        done += 1
    return done / (time.perf_counter() - begun)


def main():
    path, tokens, threads = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
    if len(sys.argv) > 4:
        path = requantized(path, sys.argv[4])
    model = llama_cpp.Llama(
        path, n_ctx=4096, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False
    )
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        what, number = line.split()
        if what == "prefill":
            rate = prefill(model, tokens[: int(number)])
        else:
            rate = decode(model, tokens, float(number))
        print(json.dumps({"rate": rate}), flush=True)


main()
