eckart
