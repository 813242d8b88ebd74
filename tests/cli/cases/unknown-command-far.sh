eckart xyzzyx
