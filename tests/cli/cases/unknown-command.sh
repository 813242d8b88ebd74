eckart comprss model
