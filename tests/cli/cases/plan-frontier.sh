eckart plan model
