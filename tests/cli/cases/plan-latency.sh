eckart plan model --latency 0.8 --no-slower --timings timings.json
