eckart --version
