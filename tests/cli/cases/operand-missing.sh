eckart verify model
