eckart bench model
