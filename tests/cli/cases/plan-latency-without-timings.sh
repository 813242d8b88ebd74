eckart plan model --latency 4
