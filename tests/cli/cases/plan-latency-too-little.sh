eckart plan model --latency 5us --timings timings.json
