eckart plan model --latency 3h --timings timings.json
